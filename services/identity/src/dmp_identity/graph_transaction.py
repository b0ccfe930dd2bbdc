"""Runs a unit of work on the identity graph in one transaction, again if the graph moved meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from dmp_chassis.database import Database, key_may_be_taken, raw, retrying
from dmp_identity.adapters.graph_locks import share_graph

_Result = TypeVar("_Result")


class GraphMovedError(Exception):
    """Others changed the graph so that locks are needed which cannot be taken in order any more. Try again with
    every lock.
    """


async def in_graph_transaction(
    database: Database, unit: Callable[[psycopg.AsyncConnection[Any], bool], Awaitable[_Result]]
) -> _Result:
    """Runs `unit(connection, every_lock)` in a transaction that holds off erasing, again if it has to be.

    Deadlocks and serialization failures are retried; so are, with every lock, a graph that moved and a unique key
    that was taken.
    """

    async def attempt(every_lock: bool) -> _Result:
        async def once() -> _Result:
            async with database.begin() as transaction:
                connection = raw(transaction)
                await share_graph(connection)
                return await unit(connection, every_lock)

        return await retrying(once)

    try:
        return await attempt(False)
    except GraphMovedError:
        return await attempt(True)
    except psycopg.Error as error:
        if not key_may_be_taken(error):
            raise
        return await attempt(True)
