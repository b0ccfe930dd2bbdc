"""A database that Citus distributes is asked through its coordinator only.

Local tables, advisory locks, sequences, transaction ids and triggers are those of one node. On a worker a service would
find empty tables and locks that keep nobody out, and nothing would tell it. So each new connection asks where it has
arrived, and a service that is sent to a worker does not start (ADR 0020). On plain PostgreSQL that is one question.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import psycopg

_HAS_CITUS: Final = "SELECT to_regclass('pg_dist_local_group') IS NOT NULL"
_GROUP: Final = "SELECT groupid FROM pg_dist_local_group"
# A plan for any parameters is one that Citus often cannot make, and then it makes one for those that are given.
_PLAN: Final = "SET plan_cache_mode = auto"
_COORDINATOR: Final = (0,)
_LOOK_SECONDS: Final = 2


class WorkerNodeError(psycopg.OperationalError):
    """The database is on a worker of a Citus cluster."""

    def __init__(self) -> None:
        super().__init__("this is a worker of a Citus cluster: the database's URL must name the coordinator")


async def admit(connection: psycopg.AsyncConnection[Any]) -> None:
    """Prepares a new connection to any PostgreSQL, in autocommit mode. Raises WorkerNodeError; it is closed then."""
    try:
        if await _first(connection, _HAS_CITUS) == (True,):
            if await _first(connection, _GROUP) != _COORDINATOR:
                raise WorkerNodeError
            await connection.execute(_PLAN)
    except BaseException:
        await connection.close()
        raise


async def refuse_worker(url: str) -> None:
    """Raises WorkerNodeError if the database at this URL is on a worker; says nothing of one that does not answer."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            connection = await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=_LOOK_SECONDS, application_name="dmp start"
            )
            await admit(connection)
            await connection.close()
    except WorkerNodeError:
        raise
    except (psycopg.Error, TimeoutError):
        return


def refuse_worker_connection(connection: psycopg.Connection[Any]) -> None:
    """As `admit`, for a connection that waits."""
    if connection.execute(_HAS_CITUS).fetchone() == (True,) and connection.execute(_GROUP).fetchone() != _COORDINATOR:
        raise WorkerNodeError


async def _first(connection: psycopg.AsyncConnection[Any], query: Any) -> tuple[Any, ...] | None:  # noqa: ANN401
    row: tuple[Any, ...] | None = await (await connection.execute(query)).fetchone()
    return row
