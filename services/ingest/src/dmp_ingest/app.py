"""Puts ingest together: the only place where settings meet connections."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from dmp.access.v1 import scope_pb2
from dmp_chassis.actions import expire_actions_loop
from dmp_chassis.call_metrics import timed
from dmp_chassis.callers import believed_callers
from dmp_chassis.certificates import Certificates
from dmp_chassis.client import channel
from dmp_chassis.database import Database
from dmp_chassis.domain_events import RedisStreamPublisher, drain_loop
from dmp_chassis.metrics import Answer, Metrics
from dmp_chassis.redis_client import check_redis, open_redis
from dmp_chassis.service import Api, Parts, ServiceDefinition
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.adapters.actions import IdentityActions, OwnActions, StatsActions
from dmp_ingest.adapters.audit_pass_store import AuditPasses
from dmp_ingest.adapters.claim_cache import Claims
from dmp_ingest.adapters.consumers import Consumers
from dmp_ingest.adapters.counted_cells import CountedCells
from dmp_ingest.adapters.erasure_store import Erasures
from dmp_ingest.adapters.event_store import EventLog
from dmp_ingest.adapters.group_writer import GroupWriter
from dmp_ingest.adapters.known_users import KnownUsers
from dmp_ingest.adapters.log_cells import LogCells
from dmp_ingest.adapters.log_cleaning import LogCleaner
from dmp_ingest.adapters.log_epoch import LogEpoch
from dmp_ingest.adapters.log_retention import LogRetention
from dmp_ingest.adapters.outbox import Outbox
from dmp_ingest.adapters.owners import Owners
from dmp_ingest.adapters.people import People
from dmp_ingest.adapters.tables import METADATA
from dmp_ingest.adapters.waiting_figures import ask_what_waits
from dmp_ingest.api.action_rpcs import ActionRpcs
from dmp_ingest.api.audit_rpcs import AuditRpcs
from dmp_ingest.api.erasure_rpcs import ErasureRpcs
from dmp_ingest.api.errors import DOMAIN, ERRORS
from dmp_ingest.api.event_rpcs import EventRpcs
from dmp_ingest.api.json_publishing import JsonPublishing
from dmp_ingest.api.publish_request import MOST_BYTES
from dmp_ingest.api.publish_rpcs import PublishRpcs
from dmp_ingest.api.publish_streams import PublishStreams
from dmp_ingest.api.servicer import SERVICE_NAME, IngestServicer, SystemChecks
from dmp_ingest.audit_continuously import ContinuousAudit
from dmp_ingest.commit_groups import GroupCommitter
from dmp_ingest.deliver_batch import Deliverer
from dmp_ingest.erase_everywhere import Stores, sweep_loop
from dmp_ingest.expire_log import expire_log_loop
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.hand_over_group import GroupHandOver
from dmp_ingest.hold_batches import HeldBatches
from dmp_ingest.large_requests import LargeRequests
from dmp_ingest.metrics import (
    CONSUMER_AWAY,
    ERASURES_COMPLETED,
    OF_INGEST,
    PASS_DIFFERENCES,
    PASS_SECONDS,
    QUEUE_LIMIT,
    QUEUED_EVENTS,
    QUEUED_SECONDS,
)
from dmp_ingest.relay_batches import Relay
from dmp_ingest.settings import Settings, read_settings
from dmp_ingest.store_group import GroupStores
from dmp_ingest.watch_commit import CommitWatch

_PUBLISHED: Final = 2 * MOST_BYTES
MAX_REQUEST_BYTES: Final = {
    "": 1 << 20,
    "PublishEvents": _PUBLISHED,
    "PublishEventsJson": _PUBLISHED,
}
"""Of a message once it is inflated. Those with events have room, so that their own limits are what callers are told."""
_CLOCK_DIFFERENCE_SECONDS: Final = 2.0
_AUDIT_STATEMENT_SECONDS: Final = 5.0


def assemble(settings: Settings) -> Parts:
    """The parts of one server. Opens no connection yet."""
    metrics = Metrics(OF_INGEST)
    database = Database.connect(settings.common.database_url, pool_size=settings.pool_size, application_name="ingest")
    database.measured_by(metrics, "main")
    redis = open_redis(settings.common.redis_url, client_name="dmp_ingest", metrics=metrics)
    publisher = RedisStreamPublisher(redis)
    files = settings.common.certificates
    certificates = Certificates(files) if files is not None else None
    identity = timed(channel(*settings.identity_addresses, service="identity", certificates=certificates), metrics)
    stats = timed(channel(*settings.stats_addresses, service="stats", certificates=certificates), metrics)
    groups = GroupWriter(settings.common.database_url)
    log = EventLog(database, groups)
    epoch = LogEpoch(settings.common.database_url)
    patience_seconds = settings.apply_wait_seconds
    consumers = Consumers(identity=identity, stats=stats, patience_seconds=patience_seconds)
    # Of its own, so that neither reads nor commits keep it from delivering: one connection for each loop.
    delivering = Database.connect(settings.common.database_url, pool_size=3, application_name="ingest delivery")
    auditing = Database.connect(
        settings.common.database_url,
        pool_size=2,  # whoever asks for an audit does not wait for the continuous one
        application_name="ingest audit",
        statement_timeout_seconds=_AUDIT_STATEMENT_SECONDS,
    )
    outbox = Outbox(delivering.measured_by(metrics, "delivery"))
    held = HeldBatches(outbox)
    deliverer = Deliverer(held, consumers)
    wake = asyncio.Event()
    claims = Claims(redis, window_seconds=settings.claim_window_seconds)
    # Twice as many as may wait for a commit: with valid events the queue is what is full first.
    large = LargeRequests(most_events=2 * settings.queue.max_events)
    gathering = GroupGathering(
        max_queued_events=settings.queue.max_events, max_group_events=settings.queue.max_group_events
    )
    committer = GroupCommitter(
        gathering=gathering,
        stores=GroupStores(log=log, claims=claims, epoch=epoch, announced=wake.set),
        watch=CommitWatch(log.check, timeout_seconds=settings.commit_timeout_seconds),
        hand_over=GroupHandOver(
            log=log, claims=claims, deliverer=deliverer, apply_wait_seconds=patience_seconds, metrics=metrics
        ),
        deliverer=deliverer,
        metrics=metrics,
    )

    async def ask_redis() -> None:
        await check_redis(redis)

    stores = Stores(
        erasures=Erasures(database),
        people=People(identity),
        users=KnownUsers(stats),
        log=LogCleaner(database),
        completed=lambda: metrics.add(ERASURES_COMPLETED, 1),
        settled_seconds=settings.commit_timeout_seconds + _CLOCK_DIFFERENCE_SECONDS,
    )
    cells, counted = LogCells(auditing.measured_by(metrics, "audit")), CountedCells(stats)
    auditor = ContinuousAudit(
        passes=AuditPasses(database, holder=uuid7_text()),
        log=cells,
        counted=counted,
        people=stores.people,
        hours=settings.audit.hours,
        pause_seconds=settings.audit.pause_seconds,
    )
    policy = settings.policy
    bodies = JsonPublishing(policy=policy, large=large, gathering=gathering, metrics=metrics)
    servicer = IngestServicer(
        publishing=PublishRpcs(policy=policy, large=large, gathering=gathering, json=bodies, metrics=metrics),
        streams=PublishStreams(policy=policy, large=large, gathering=gathering, json=bodies, metrics=metrics),
        events=EventRpcs(policy=policy, log=log, owners=Owners(identity)),
        audits=AuditRpcs(
            cells=cells,
            counted=counted,
            people=stores.people,
            policy=policy,
            metrics=metrics,
        ),
        erasures=ErasureRpcs(stores),
        actions=ActionRpcs((OwnActions(database), IdentityActions(identity), StatsActions(stats))),
        checks=SystemChecks(
            needed={"ingest's database": database.check, "identity": _serving(identity), "stats": _serving(stats)},
            helpful={"redis": ask_redis, "stored keys": _serving(identity, "dependency.key_rules")},
        ),
    )

    async def ask_database() -> Answer:
        return await ask_what_waits(database)

    metrics.ask(ask_database)
    if settings.audit.hours:
        metrics.ask(auditor.passes.figures)
    else:
        for gauge, *labels in ((PASS_DIFFERENCES, "counts"), (PASS_DIFFERENCES, "timelines"), (PASS_SECONDS,)):
            metrics.set(gauge, math.nan, *labels)
    metrics.set(QUEUE_LIMIT, settings.queue.max_events)
    metrics.watch(QUEUED_EVENTS, lambda: gathering.waiting_events)
    metrics.watch(QUEUED_SECONDS, lambda: gathering.oldest_age_seconds)
    metrics.watch(CONSUMER_AWAY, lambda: float(consumers.identity.away), "identity")
    metrics.watch(CONSUMER_AWAY, lambda: float(consumers.stats.away), "stats")

    async def sweep_erasures() -> None:
        await sweep_loop(stores=stores)

    async def remove_old_actions() -> None:
        await expire_actions_loop(database, days=settings.common.action_retention_days)

    async def empty_old_events() -> None:
        retention = LogRetention(database)
        await expire_log_loop(retention, days=settings.log_retention_days, clock=lambda: datetime.now(UTC))

    async def publish_domain_events() -> None:
        await drain_loop(database, publisher, wake=wake)

    return Parts(
        servicer=servicer,
        metrics=metrics,
        checks={"postgres": database.check, "redis": ask_redis},
        # Without Redis every event is looked up in the log, and domain events wait in the outbox.
        degrading=("redis",),
        background=(
            committer.commit_loop,
            held.run,
            Relay(consumers.identity, outbox=outbox, held=held, metrics=metrics).run,
            Relay(consumers.stats, outbox=outbox, held=held, metrics=metrics).run,
            publish_domain_events,
            sweep_erasures,
            remove_old_actions,
            *((auditor.run,) if settings.audit.hours else ()),
            empty_old_events,
        ),
        on_stop=(committer.flush,),
        on_close=(
            identity.close,
            stats.close,
            redis.aclose,
            groups.close,
            epoch.close,
            auditing.close,
            delivering.close,
            database.close,
        ),
    )


SERVICE: Final = ServiceDefinition(
    name="ingest",
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


def _serving(to: grpc.aio.Channel, name: str = "") -> Callable[[], Awaitable[None]]:
    """A check that raises unless the service behind this channel says that it, or its part of this name, is serving.

    It has no time limit of its own: its caller has one, and cancels it.
    """
    ask: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
    ask = to.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    async def check() -> None:
        response = await ask(health_pb2.HealthCheckRequest(service=name))
        if response.status != health_pb2.HealthCheckResponse.SERVING:
            raise ConnectionError("not serving")

    return check
