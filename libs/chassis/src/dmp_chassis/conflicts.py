"""Runs work again that PostgreSQL rolled back because it conflicted with other work."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
import sqlalchemy.exc

_Result = TypeVar("_Result")

_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK: Final = "40P01"
_UNIQUE_VIOLATION: Final = "23505"
_INTERNAL_ERROR: Final = "XX000"


async def retrying(unit: Callable[[], Awaitable[_Result]], *, attempts: int = 10) -> _Result:
    """Runs a whole unit of work, its transaction included, until it does not conflict, `attempts` times at most.

    Only serialization failures and deadlocks are tried again, after a random, growing pause of at most half a second.
    Any other error is raised at once, and the last attempt's whatever it is.
    """
    for attempt in range(1, attempts):
        try:
            return await unit()
        except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
            if sql_state(error) not in {_SERIALIZATION_FAILURE, _DEADLOCK}:
                raise
        await asyncio.sleep(random.uniform(0.0, min(0.5, 0.005 * 2**attempt)))  # noqa: S311 -- jitter
    return await unit()


def key_may_be_taken(error: BaseException) -> bool:
    """Whether this may be the error of a unique key that is there already.

    Citus copies rows to shards and passes on what a shard says to them, without its SQLSTATE: as an internal error. So
    whoever can decide the matter in another way does so after any internal error.
    """
    return sql_state(error) in {_UNIQUE_VIOLATION, _INTERNAL_ERROR}


def sql_state(error: BaseException) -> str | None:
    """The SQLSTATE of an error of psycopg or SQLAlchemy, None when it has none."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None
