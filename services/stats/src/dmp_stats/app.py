"""Puts the service together and runs it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis

from dmp_chassis import domain_events
from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.database import Database
from dmp_chassis.domain_events import RedisStreamPublisher
from dmp_chassis.instants import format_instant
from dmp_chassis.logging import configure
from dmp_chassis.server import run_server
from dmp_stats.adapters.batch_writer import BatchWriter
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.api.errors import DOMAIN, ERRORS
from dmp_stats.api.servicer import SERVICE_NAME, Dependencies, StatsServicer
from dmp_stats.domain.buckets import DAY, HOUR, MINUTE
from dmp_stats.expire import expire_for_ever
from dmp_stats.fold_deltas import fold_for_ever
from dmp_stats.live_window import LiveWindow
from dmp_stats.reset_reference_clock import reset_reference_clock
from dmp_stats.settings import Settings, migration_url_from_env, settings_from_env
from dmp_stats.watch_live import LiveFeed

MAX_REQUEST_BYTES: Final = {
    "": 1 << 20,
    **dict.fromkeys(
        (
            "ApplyBatch",
            "ReplaceCells",
            "ReplaceReferenceUsers",
            "ReplaceReferenceUsersJson",
            "UpdateReferenceUsersJson",
        ),
        MAX_MESSAGE_BYTES,
    ),
}
"""Of a message once it is inflated."""
_KEEP_UP_SECONDS: Final = 1.0
_EXPIRE_SECONDS: Final = 30.0


def assemble(settings: Settings, *, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The service as the arguments of `dmp_chassis.server.start_server` and `run_server`. Opens no connection yet."""
    database = Database.connect(settings.database_url, pool_size=settings.pool_size, application_name="dmp-stats")
    batches = BatchWriter(settings.database_url)
    redis = Redis.from_url(settings.redis_url, socket_timeout=2.0, socket_connect_timeout=1.0)
    deltas = DeltaCache()
    window = LiveWindow(database, retention_seconds=settings.window_seconds, clock=clock)
    publisher = RedisStreamPublisher(redis)
    live = LiveFeed(database, deltas, window, publisher, clock=clock)
    wake = asyncio.Event()
    servicer = StatsServicer(
        Dependencies(
            database=database,
            batches=batches,
            deltas=deltas,
            window=window,
            live=live,
            wake=wake,
            most_users=settings.reference_max_users,
            clock=clock,
        )
    )
    retention_days = {
        MINUTE: settings.minute_retention_days,
        HOUR: settings.hour_retention_days,
        DAY: settings.day_retention_days,
    }

    async def fold() -> None:
        await fold_for_ever(database, deltas, interval_seconds=settings.fold_interval_seconds)

    async def keep_up() -> None:
        await window.keep_up(interval_seconds=_KEEP_UP_SECONDS)

    async def publish() -> None:
        await domain_events.drain_loop(database, publisher, wake=wake)

    async def remove_old() -> None:
        await expire_for_ever(
            database,
            clock=clock,
            window_seconds=settings.window_seconds,
            retention_days=retention_days,
            interval_seconds=_EXPIRE_SECONDS,
        )

    async def check_redis() -> None:
        await redis.ping()

    return {
        "service_names": (SERVICE_NAME,),
        "add_services": servicer.add_to,
        "listen": settings.listen,
        "table": ERRORS,
        "domain": DOMAIN,
        "max_request_bytes": MAX_REQUEST_BYTES,
        "checks": {"postgres": database.check, "redis": check_redis},
        "degrading": ("redis",),
        "background": (fold, keep_up, publish, remove_old),
        "on_close": (live.close, window.close, redis.aclose, batches.close, database.close),
    }


async def serve() -> None:
    """Serves until SIGTERM. Raises SettingsError."""
    settings = settings_from_env(os.environ)
    configure(settings.log_level, "stats")
    await run_server(**assemble(settings))


async def reset_clock_of_reference() -> None:
    """Resets the clock of the reference table and says on standard output what is in place. Raises SettingsError."""
    database = Database.connect(migration_url_from_env(os.environ), pool_size=1, application_name="dmp-stats-operator")
    try:
        version = await reset_reference_clock(database)
    finally:
        await database.close()
    if version is None:
        print("there is no reference table")
    else:
        print(f"generation {version.generation} of {format_instant(version.ts)}, {version.users} users")
