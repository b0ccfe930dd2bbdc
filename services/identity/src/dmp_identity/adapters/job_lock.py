"""Lets one process at a time read stored values again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

_JOB: Final = 0x444D5052


@asynccontextmanager
async def only_job(database_url: str) -> AsyncIterator[bool]:
    """Takes the lock of the job that reads stored values again: True if this process has it until the block ends, False
    if another process is at work.

    The lock belongs to a connection of its own, so it is free again when the process dies.
    """
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_JOB,))
        row = await cursor.fetchone()
        yield bool(row is not None and row[0])
