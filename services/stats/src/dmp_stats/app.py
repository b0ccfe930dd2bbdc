"""Puts stats together: the only place where settings meet connections."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Final

from dmp.access.v1 import scope_pb2
from dmp_chassis.actions import expire_actions_loop
from dmp_chassis.callers import believed_callers
from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.clock import Clock, now_us
from dmp_chassis.database import Database
from dmp_chassis.domain_events import RedisStreamPublisher, drain_loop
from dmp_chassis.expire_inbox import expire_inbox_for_ever
from dmp_chassis.instants import format_instant
from dmp_chassis.metrics import Answer, Metrics
from dmp_chassis.redis_client import check_redis, open_redis
from dmp_chassis.server import Callback
from dmp_chassis.service import Api, Parts, ServiceDefinition
from dmp_chassis.service_settings import database_url_from_env
from dmp_stats.adapters import delta_store
from dmp_stats.adapters.batch_writer import BatchWriter
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.adapters.tables import METADATA
from dmp_stats.api.errors import DOMAIN, ERRORS
from dmp_stats.api.servicer import SERVICE_NAME, Dependencies, StatsServicer
from dmp_stats.domain.buckets import DAY, HOUR, MINUTE
from dmp_stats.expire import expire_for_ever
from dmp_stats.fold_deltas import fold_for_ever
from dmp_stats.live_window import LiveWindow
from dmp_stats.make_live_view import LiveViewMaker
from dmp_stats.metrics import DELTAS_WAITING, GENERATION, OF_STATS, WINDOW_EVENTS, WINDOW_LAG
from dmp_stats.reset_reference_clock import reset_reference_clock
from dmp_stats.settings import Settings, read_settings
from dmp_stats.tally_verdicts import VerdictTally
from dmp_stats.watch_live import LiveFeed

MAX_REQUEST_BYTES: Final = {
    "": 1 << 20,
    **dict.fromkeys(
        (
            "ApplyBatch",
            "ReplaceCells",
            "ReplaceReferenceUsersJson",
            "UpdateReferenceUsersJson",
        ),
        MAX_MESSAGE_BYTES,
    ),
}
"""Of a message once it is inflated."""
_KEEP_UP_SECONDS: Final = 1.0
_EXPIRE_SECONDS: Final = 30.0
_MOST_COUNTED: Final = 100_000
_EXPIRE_INBOX_SECONDS: Final = 600.0


def assemble(settings: Settings, *, clock: Clock = now_us) -> Parts:
    """The parts of one server. Opens no connection yet."""

    def seconds() -> float:
        return clock() / 1e6

    metrics = Metrics(OF_STATS)
    database = Database.connect(
        settings.common.database_url, pool_size=settings.pool_size, application_name="dmp-stats"
    ).measured_by(metrics, "main")
    batches = BatchWriter(settings.common.database_url)
    redis = open_redis(settings.common.redis_url, client_name="dmp_stats", metrics=metrics)
    deltas = DeltaCache()
    window = LiveWindow(database, retention_seconds=settings.window_seconds, clock=seconds)
    publisher = RedisStreamPublisher(redis)
    views = LiveViewMaker(database, deltas, window, VerdictTally(publisher), clock=seconds)
    live = LiveFeed(views.make)
    wake = asyncio.Event()
    servicer = StatsServicer(
        Dependencies(
            database=database,
            batches=batches,
            deltas=deltas,
            window=window,
            live=live,
            wake=wake,
            metrics=metrics,
            most_users=settings.reference_max_users,
            clock=seconds,
        )
    )
    retention_days = {
        MINUTE: settings.minute_retention_days,
        HOUR: settings.hour_retention_days,
        DAY: settings.day_retention_days,
    }

    async def fold() -> None:
        await fold_for_ever(database, deltas, interval_seconds=settings.fold_interval_seconds, metrics=metrics)

    async def ask_database() -> Answer:
        async with database.read() as connection:
            return {(DELTAS_WAITING,): await delta_store.count_waiting(connection, most=_MOST_COUNTED)}

    metrics.ask(ask_database)
    metrics.watch(WINDOW_EVENTS, lambda: window.events)
    metrics.watch(WINDOW_LAG, lambda: window.lag_seconds)
    metrics.watch(GENERATION, lambda: 0 if window.version is None else window.version.generation)

    async def keep_up() -> None:
        await window.keep_up(interval_seconds=_KEEP_UP_SECONDS)

    async def publish_domain_events() -> None:
        await drain_loop(database, publisher, wake=wake)

    async def remove_old() -> None:
        await expire_for_ever(
            database,
            clock=seconds,
            window_seconds=settings.window_seconds,
            retention_days=retention_days,
            interval_seconds=_EXPIRE_SECONDS,
        )

    async def ask_redis() -> None:
        await check_redis(redis)

    return Parts(
        servicer=servicer,
        metrics=metrics,
        checks={"postgres": database.check, "redis": ask_redis},
        # Without Redis everything works but the publishing of domain events, which wait in the outbox.
        degrading=("redis",),
        background=(fold, keep_up, publish_domain_events, remove_old, *_expiring(database, settings)),
        on_close=(live.close, window.close, redis.aclose, batches.close, database.close),
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
    name="stats",
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


async def reset_clock_of_reference() -> None:
    """Resets the clock of the reference table and says on standard output what is in place. Raises SettingsError."""
    database = Database.connect(
        database_url_from_env(os.environ, "stats"), pool_size=1, application_name="dmp-stats-operator"
    )
    try:
        version = await reset_reference_clock(database)
    finally:
        await database.close()
    if version is None:
        print("there is no reference table")
    else:
        print(f"generation {version.generation} of {format_instant(version.ts)}, {version.users} users")
