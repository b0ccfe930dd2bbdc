"""Puts the service together: the only place where settings meet connections."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final

import grpc
import msgspec
from sqlalchemy.engine import make_url

from dmp.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.database import Database
from dmp_chassis.domain_events import RedisStreamPublisher, drain_loop
from dmp_chassis.logging import configure
from dmp_chassis.redis_client import check_redis, connect_redis
from dmp_chassis.server import Callback, RunningServer, run_server, start_server
from dmp_identity.adapters.key_rules_store import application_name
from dmp_identity.adapters.respelling_store import only_job
from dmp_identity.api.errors import DOMAIN, TABLE
from dmp_identity.api.servicer import IdentityServicer
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.identify_contact import ContactIdentifier
from dmp_identity.know_key_rules import KnownKeyRules
from dmp_identity.preview_renormalisation import Preview, preview_renormalisation
from dmp_identity.renormalise_keys import Renormalisation, RenormalisationRunningError, Renormalised
from dmp_identity.settings import Settings, from_env, renormalise_settings_from_env
from dmp_identity.trial_run import PolicyTrials

MAX_REQUEST_BYTES: Final = {"": 1 << 20, "ApplyBatch": MAX_MESSAGE_BYTES}
"""Whoever calls from outside asks with little; a batch of events has what ingest has accepted."""
SERVICE_NAME: Final = identity_service_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name

# Every statement finds its rows by an index, a few or a few thousand at a time. A plan made while a table was small
# must not scan it when it is large, and planning each statement anew costs more than running it.
_PLANNER: Final = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c jit=off"
)


class IdentityService:
    """The parts of one running service, for `serve` and for tests that run several in one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database.connect(
            with_planner_options(settings.database_url),
            pool_size=settings.pool_size,
            application_name=application_name(settings.policy),
        )
        # Of their own, so that many readers do not keep batches from being applied, nor the other way round.
        parallel_batches = max(1, settings.pool_size // 2)
        self.batches = Database.connect(
            with_planner_options(settings.database_url),
            pool_size=parallel_batches,
            application_name=f"{application_name(settings.policy)} batches",
        )
        self.redis = connect_redis(settings.redis_url, client_name="dmp_identity", pool_size=4)
        self.parser = IdentifierParser(settings.policy)
        self.key_rules = KnownKeyRules(self.database, self.parser)
        self.wake = asyncio.Event()
        cache = GraphCache()
        self.identifier = ContactIdentifier(
            self.database,
            self.parser,
            cache,
            clock_us=clock_us,
            wake=self.wake,
            queue_length=settings.identify_queue_length,
        )
        self.servicer = IdentityServicer(
            database=self.database,
            parser=self.parser,
            key_rules=self.key_rules,
            cache=cache,
            identifier=self.identifier,
            trials=PolicyTrials(
                settings.database_url, memory_bytes=settings.trial_memory_bytes, seconds=settings.trial_seconds
            ),
            clock_us=clock_us,
            wake=self.wake,
            batches=self.batches,
            parallel_batches=parallel_batches,
        )

    def add_services(self, server: grpc.aio.Server) -> None:
        """Registers the service's RPCs."""
        identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(self.servicer, server)

    async def publish_domain_events(self) -> None:
        """Publishes what waits in the outbox until cancelled."""
        await drain_loop(self.database, RedisStreamPublisher(self.redis), wake=self.wake)

    async def check_redis(self) -> None:
        """Returns if Redis answers, else raises."""
        await check_redis(self.redis)

    async def close(self) -> None:
        """Closes all connections."""
        await self.batches.close()
        await self.database.close()
        await self.redis.aclose()

    async def start(self, listen: str = "127.0.0.1:0") -> RunningServer:
        """Serves until the returned server is closed."""
        return await start_server(
            service_names=[SERVICE_NAME],
            add_services=self.add_services,
            table=TABLE,
            domain=DOMAIN,
            listen=listen,
            checks=self._checks(),
            degrading={"redis", "key_rules"},
            background=[self.key_rules.run, self.identifier.run, self.publish_domain_events],
            on_close=[self.close],
            max_request_bytes=MAX_REQUEST_BYTES,
        )

    async def run(self) -> None:
        """Serves until the process is told to stop."""
        await run_server(
            service_names=[SERVICE_NAME],
            add_services=self.add_services,
            table=TABLE,
            domain=DOMAIN,
            listen=self.settings.listen,
            checks=self._checks(),
            degrading={"redis", "key_rules"},
            background=[self.key_rules.run, self.identifier.run, self.publish_domain_events],
            on_close=[self.close],
            max_request_bytes=MAX_REQUEST_BYTES,
            drain_seconds=self.settings.drain_seconds,
        )

    def _checks(self) -> dict[str, Callback]:
        # Without Redis everything works but the publishing of domain events, which wait in the outbox.
        # While keys were made by other rules values are looked up by both, which only costs a little.
        return {"postgres": self.database.check, "redis": self.check_redis, "key_rules": self.key_rules.check}


def clock_us() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1000


async def serve() -> None:
    """`python -m dmp_identity serve`."""
    settings = from_env(os.environ)
    configure(settings.log_level, "identity")
    await IdentityService(settings).run()


async def renormalise(*, dry_run: bool) -> None:
    """`python -m dmp_identity renormalise [--dry-run]`; prints what it did, or would do, as JSON. Raises
    RenormalisationRunningError, and what the database raises.
    """
    settings = renormalise_settings_from_env(os.environ)
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
                done = await preview_renormalisation(database, parser, clock_us=clock_us)
            else:
                done = await Renormalisation(database, parser, clock_us=clock_us).run()
        print(msgspec.json.format(msgspec.json.encode(done)).decode())
    finally:
        await database.close()


def with_planner_options(url: str) -> str:
    parsed = make_url(url)
    given = parsed.query.get("options", "")
    options = f"{_PLANNER} {given if isinstance(given, str) else ' '.join(given)}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)
