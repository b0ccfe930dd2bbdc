"""A Redis client that never holds a request up: what Redis holds may vanish, and so may Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import hiredis
import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Redis, Sentinel, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff

from dmp_chassis.metrics import Metrics
from dmp_chassis.redis_address import Node, RedisAddress, redis_address
from dmp_chassis.redis_cluster import ClusterClient, Command
from dmp_chassis.store_metrics import OF_REDIS, REDIS_CALLS
from dmp_chassis.tracing import REDIS, client_span

RedisClient = Redis | ClusterClient
"""Of one server, or of a cluster."""

_TRIES_AGAIN: Final = 1
"""Enough to replace a connection that died with the last restart. A command that timed out is not tried again."""


def open_redis(
    url: str, *, client_name: str, pool_size: int = 16, timeout_seconds: float = 0.5, metrics: Metrics | None = None
) -> RedisClient:
    """A client of what DMP_REDIS_URL names (`redis_address`): one server or a cluster. It connects on first use.

    `run` and `run_each` send it commands. pool_size: connections to each server. The rest is as `connect_redis` says.
    """
    address = redis_address(url)
    limits = _limits(client_name, pool_size, timeout_seconds)
    if address.kind != "cluster":
        return _client(_pool(address, limits), metrics)

    def connect(node: Node) -> Redis:
        host, port = node
        # The client of the cluster measures.
        return _client(BlockingConnectionPool(**{**limits, **address.options, "host": host, "port": port}), None)

    if metrics is not None:
        metrics.declare(*OF_REDIS)
    return ClusterClient(address.nodes, connect, partial(_measure, metrics))


def connect_redis(
    url: str, *, client_name: str, pool_size: int = 16, timeout_seconds: float = 0.5, metrics: Metrics | None = None
) -> Redis:
    """A client of one server, which a URL names or Sentinels do; it connects on first use.

    A command fails at once when nobody listens, and when no answer, or no free one of the `pool_size` connections,
    comes within `timeout_seconds`; twice that if the connection had to be made first. A command whose connection broke
    is sent once more, so it may have been run twice. Commands that block must block for less than the timeout. Answers
    are bytes. `client_name`, which Redis lists, has no spaces. With `metrics` every call is measured. Raises ValueError
    for a URL of a cluster.
    """
    address = redis_address(url)
    if address.kind == "cluster":
        raise ValueError("names a cluster")
    return _client(_pool(address, _limits(client_name, pool_size, timeout_seconds)), metrics)


async def run_each(
    client: RedisClient, commands: Sequence[Command], *, timeout_seconds: float | None = None
) -> list[Any]:
    """For each command what Redis answered, or the exception: RedisError, TimeoutError, OSError. Raises none of these.

    One server gets all of them in one round trip, in order; a cluster as `ClusterClient.run_each` says.
    """
    if isinstance(client, ClusterClient):
        return await client.run_each(commands, timeout_seconds=timeout_seconds)
    try:
        async with asyncio.timeout(timeout_seconds):
            if len(commands) == 1:
                return [await client.execute_command(*commands[0].words)]  # type: ignore[no-untyped-call]
            async with client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command.words)
                return await pipeline.execute(raise_on_error=False)
    except (redis.exceptions.RedisError, TimeoutError, OSError) as error:
        return [error] * len(commands)


async def run(client: RedisClient, command: Command) -> Any:  # noqa: ANN401 -- whatever Redis says
    """What Redis answers to a command. Raises RedisError, TimeoutError, OSError."""
    (answer,) = await run_each(client, [command])
    if isinstance(answer, Exception):
        raise answer
    return answer


async def check_redis(client: RedisClient) -> None:
    """Returns if Redis, every node of it that has slots, answers within the client's timeout, else raises: a check for
    the health report."""
    if isinstance(client, ClusterClient):
        await client.check()
    else:
        await client.ping()


def _limits(client_name: str, pool_size: int, timeout_seconds: float) -> dict[str, Any]:
    return {
        "client_name": client_name,
        "max_connections": pool_size,
        "timeout": timeout_seconds,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), _TRIES_AGAIN, (redis.exceptions.ConnectionError,)),
    }


def _pool(address: RedisAddress, limits: Mapping[str, Any]) -> BlockingConnectionPool:
    options = {**limits, **address.options}
    if address.kind == "server":
        return BlockingConnectionPool(**options)
    with_tls = options.pop("connection_class", None) is SSLConnection
    of_sentinels = {name: options[name] for name in options if name.startswith(("ssl_", "socket_"))}
    of_sentinels |= {**address.sentinel_login, "ssl": with_tls, "retry": limits["retry"]}
    sentinels = Sentinel(address.nodes, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
    return _WatchedPool(
        **options,
        connection_class=SentinelManagedSSLConnection if with_tls else SentinelManagedConnection,
        service_name=address.service,
        sentinel_manager=sentinels,
    )


def _client(pool: BlockingConnectionPool, metrics: Metrics | None) -> Redis:
    pool.connection_class = type("PackingConnection", (_Packing, pool.connection_class), {})
    if metrics is None:
        return Redis.from_pool(pool)
    client = _Measured(connection_pool=pool)
    # As `from_pool` does: the client closes what nobody else has.
    client.auto_close_connection_pool = True
    client.measured_by(metrics)
    return client


def _measure(metrics: Metrics | None, commands: Iterable[Command], seconds: float, outcome: str) -> None:
    if metrics is not None:
        for command in commands:
            metrics.observe(REDIS_CALLS, seconds, str(command.words[0]), outcome)


class _WatchedPool(BlockingConnectionPool, SentinelConnectionPool):
    """Connections to the server that Sentinels name at the time when each of them is made."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:  # and not only because another server has taken over
            await self.sentinel_manager.aclose()


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
