"""Tells the absence of a dependency from a mistake of our own."""

from __future__ import annotations

from typing import Final

import grpc
import psycopg
import redis.exceptions
import sqlalchemy.exc

from dmp_chassis.errors import DependencyUnavailable

_REMOTE_CODES: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_POSTGRES: Final = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError)
_REDIS: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
)


def outage(error: BaseException) -> DependencyUnavailable | None:
    """The dependency whose absence this error reports, None when it reports something else.

    PostgreSQL: connection lost or refused, none free in time, server starting or stopping, statement timeout, conflicts
    that outlasted their retries, disk or memory full. Redis: connection lost or refused, timeout, still loading, memory
    full, not writable. Another service: unavailable, over its deadline, shedding load. What `Database` raises when no
    connection answered in time says so itself.
    """
    if isinstance(error, DependencyUnavailable):
        return error
    if isinstance(error, _POSTGRES) or (isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated):
        return DependencyUnavailable("postgres")
    if isinstance(error, _REDIS):
        return DependencyUnavailable("redis")
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _REMOTE_CODES:
        return DependencyUnavailable("service")
    return None
