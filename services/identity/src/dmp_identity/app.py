"""Puts identity together: the only place where settings meet connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from dmp.access.v1 import scope_pb2
from dmp_chassis.actions import expire_actions_loop
from dmp_chassis.callers import believed_callers
from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.clock import Clock, now_us
from dmp_chassis.database import Database
from dmp_chassis.domain_events import RedisStreamPublisher, drain_loop
from dmp_chassis.expire_inbox import expire_inbox_for_ever
from dmp_chassis.logging import configure
from dmp_chassis.metrics import Metrics, timing
from dmp_chassis.redis_client import check_redis, open_redis
from dmp_chassis.server import Callback
from dmp_chassis.service import Api, Parts, ServiceDefinition
from dmp_identity.adapters.job_lock import only_job
from dmp_identity.adapters.key_rules_store import application_name
from dmp_identity.adapters.planner import with_planner_options
from dmp_identity.adapters.tables import METADATA
from dmp_identity.api.errors import DOMAIN, ERRORS
from dmp_identity.api.servicer import SERVICE_NAME, IdentityServicer
from dmp_identity.apply_batch import AppliedBatch, apply_batches
from dmp_identity.count_recorded import count_applied, count_recorded
from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.identify_contact import ContactIdentifier
from dmp_identity.join_batches import BatchJoiner
from dmp_identity.know_key_rules import KnownKeyRules
from dmp_identity.metrics import APPLY, CACHE_FORGOT, CONTACTS_WAITING, OF_IDENTITY
from dmp_identity.preview_renormalisation import Preview, preview_renormalisation
from dmp_identity.renormalise_keys import Renormalisation, RenormalisationRunningError, Renormalised
from dmp_identity.settings import Settings, read_renormalise_settings, read_settings
from dmp_identity.trial_run import PolicyTrials

MAX_REQUEST_BYTES: Final = {"": 1 << 20, "ApplyBatch": MAX_MESSAGE_BYTES}
"""Of a message once it is inflated. Whoever calls from outside asks with little; a batch has what ingest accepted."""
_EXPIRE_INBOX_SECONDS: Final = 600.0


def assemble(settings: Settings, *, clock: Clock = now_us) -> Parts:
    """The parts of one server. Opens no connection yet."""
    metrics = Metrics(OF_IDENTITY)
    database_url = settings.common.database_url
    database = Database.connect(
        with_planner_options(database_url),
        pool_size=settings.pool_size,
        application_name=application_name(settings.policy),
    )
    # Of their own, so that many readers do not keep batches from being applied, nor the other way round.
    parallel_batches = max(1, settings.pool_size // 2)
    batches = Database.connect(
        with_planner_options(database_url),
        pool_size=parallel_batches,
        application_name=f"{application_name(settings.policy)} batches",
    )
    database.measured_by(metrics, "main")
    batches.measured_by(metrics, "batches")
    redis = open_redis(settings.common.redis_url, client_name="dmp_identity", pool_size=4, metrics=metrics)
    publisher = RedisStreamPublisher(redis)
    parser = IdentifierParser(settings.policy)
    key_rules = KnownKeyRules(database, parser)
    wake = asyncio.Event()
    cache = GraphCache()
    cache.forgot = partial(metrics.add, CACHE_FORGOT, 1)
    identifier = ContactIdentifier(
        database, parser, cache, clock_us=clock, wake=wake, queue_length=settings.identify_queue_length
    )
    identifier.recorded = partial(count_recorded, metrics=metrics)
    metrics.watch(CONTACTS_WAITING, lambda: identifier.waiting)

    async def apply(joined: Sequence[EventBatch]) -> Sequence[AppliedBatch]:
        with timing(metrics, APPLY):
            applied = await apply_batches(batches, parser, cache, joined, clock_us=clock, wake=wake)
        count_applied(joined, applied, now_us=clock(), metrics=metrics)
        return applied

    joiner = BatchJoiner(apply, most_lanes=parallel_batches)
    servicer = IdentityServicer(
        database=database,
        parser=parser,
        key_rules=key_rules,
        cache=cache,
        identifier=identifier,
        trials=PolicyTrials(database_url, memory_bytes=settings.trial_memory_bytes, seconds=settings.trial_seconds),
        clock_us=clock,
        wake=wake,
        batches=joiner,
        metrics=metrics,
    )

    async def publish_domain_events() -> None:
        await drain_loop(database, publisher, wake=wake)

    async def ask_redis() -> None:
        await check_redis(redis)

    return Parts(
        servicer=servicer,
        metrics=metrics,
        checks={"postgres": database.check, "redis": ask_redis, "key_rules": key_rules.check},
        # Without Redis everything works but the publishing of domain events, which wait in the outbox.
        # While keys were made by other rules values are looked up by both, which only costs a little.
        degrading=("redis", "key_rules"),
        background=(key_rules.run, identifier.run, publish_domain_events, *_expiring(database, settings)),
        on_close=(joiner.close, batches.close, database.close, redis.aclose),
    )


def _expiring(database: Database, settings: Settings) -> tuple[Callback, Callback]:
    """What removes old acts, and the ids of batches that were applied long ago."""
    return (
        partial(expire_actions_loop, database, days=settings.common.action_retention_days),
        partial(
            expire_inbox_for_ever,
            database,
            retention_days=settings.inbox_retention_days,
            interval_seconds=_EXPIRE_INBOX_SECONDS,
        ),
    )


SERVICE: Final = ServiceDefinition(
    name="identity",
    api=Api(
        services=(SERVICE_NAME,),
        errors=ERRORS,
        domain=DOMAIN,
        callers=believed_callers(SERVICE_NAME, scope_pb2.callers),
        max_request_bytes=MAX_REQUEST_BYTES,
    ),
    tables=METADATA,
    read_settings=read_settings,
    assemble=assemble,
)


async def renormalise(*, dry_run: bool) -> None:
    """`python -m dmp_identity renormalise [--dry-run]`; prints what it did, or would do, as JSON. Raises
    RenormalisationRunningError, and what the database raises.
    """
    settings = read_renormalise_settings(os.environ)
    configure(settings.log_level, "identity")
    database = Database.connect(
        with_planner_options(settings.database_url),
        pool_size=2,
        application_name=application_name(settings.policy),
        statement_timeout_seconds=0,
    )
    try:
        async with only_job(settings.database_url) as alone:
            if not alone:
                raise RenormalisationRunningError
            parser = IdentifierParser(settings.policy)
            done: Preview | Renormalised
            if dry_run:
                done = await preview_renormalisation(database, parser, clock_us=now_us)
            else:
                done = await Renormalisation(database, parser, clock_us=now_us).run()
        print(msgspec.json.format(msgspec.json.encode(done)).decode())
    finally:
        await database.close()
