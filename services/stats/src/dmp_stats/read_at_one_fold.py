"""Reads deltas and stored rows so that they belong together, although they may have no snapshot in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_chassis.errors import DependencyUnavailable
from dmp_stats.adapters.delta_store import FoldedMeanwhileError

_Answer = TypeVar("_Answer")

_ATTEMPTS: Final = 20
"""A campaign is folded once in a few seconds, and reading takes milliseconds."""


async def read_at_one_fold(database: Database, read: Callable[[AsyncConnection], Awaitable[_Answer]]) -> _Answer:
    """What `read` returns of a reading transaction in which nothing was folded between the deltas and the stored rows.

    `read` reads the deltas first and raises FoldedMeanwhileError if the rows include a later fold; it is asked again
    then. In one database that never happens: the transaction has one snapshot. Raises DependencyUnavailable if folds
    come faster than they can be read.
    """
    for _ in range(_ATTEMPTS):
        async with database.read() as connection:
            try:
                return await read(connection)
            except FoldedMeanwhileError:
                continue
    raise DependencyUnavailable("postgres")
