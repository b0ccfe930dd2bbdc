"""A Redis client that never holds a request up: what Redis holds may vanish, and so may Redis."""

from __future__ import annotations

import time
from typing import Any, Final

import hiredis
import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dmp_chassis.metrics import Metrics
from dmp_chassis.store_metrics import OF_REDIS, REDIS_CALLS
from dmp_chassis.tracing import REDIS, client_span

_TRIES_AGAIN: Final = 1
"""Enough to replace a connection that died with the last restart. A command that timed out is not tried again."""


def connect_redis(
    url: str, *, client_name: str, pool_size: int = 16, timeout_seconds: float = 0.5, metrics: Metrics | None = None
) -> Redis:
    """A client of the Redis at `redis://host:port/0`, `rediss://…` or `unix:///path`; it connects on first use.

    A command fails at once when nobody listens, and when no answer, or no free one of the `pool_size` connections,
    comes within `timeout_seconds`; twice that if the connection had to be made first. A command whose connection broke
    is sent once more, so it may have been run twice. Commands that block must block for less than the timeout. Answers
    are bytes. `client_name`, which Redis lists, has no spaces. With `metrics` every call is measured.
    """
    pool: Any = BlockingConnectionPool.from_url(
        url,
        client_name=client_name,
        max_connections=pool_size,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), _TRIES_AGAIN, (redis.exceptions.ConnectionError,)),
    )
    pool.connection_class = type("PackingConnection", (_Packing, pool.connection_class), {})
    if metrics is None:
        return Redis.from_pool(pool)
    client = _Measured(connection_pool=pool)
    # As `from_pool` does: the client closes what nobody else has.
    client.auto_close_connection_pool = True
    client.measured_by(metrics)
    return client


class _Measured(Redis):
    """Measures each command, scripts included; not what a pipeline sends."""

    def measured_by(self, metrics: Metrics) -> None:
        metrics.declare(*OF_REDIS)
        self._metrics = metrics

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 -- as in redis
        started, outcome = time.monotonic(), "failed"
        try:
            with client_span(str(args[0]), REDIS):
                answer = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            outcome = "answered"
            return answer
        finally:
            self._metrics.observe(REDIS_CALLS, time.monotonic() - started, args[0], outcome)


class _Packing:
    """Writes commands in C: a script call with a thousand keys costs the client a third less."""

    def pack_command(self, *args: Any) -> list[bytes]:  # noqa: ANN401  # whatever the client was given
        name, *rest = args
        words = name.split() if isinstance(name, str) else [name]
        return [hiredis.pack_command((*words, *rest))]


async def check_redis(client: Redis) -> None:
    """Returns if Redis answers within the client's timeout, else raises: a check for the health report."""
    await client.ping()
