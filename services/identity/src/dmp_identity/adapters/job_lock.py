"""Lets one process at a time read stored values again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

_JOB: Final = 0x444D5052


@asynccontextmanager
async def only_job(database_url: str) -> AsyncIterator[bool]:
    """Whether nobody else reads stored values again at the moment. Until the block ends nobody else can; a connection
    of its own holds others off, so a process that dies holds nobody off.
    """
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_JOB,))
        row = await cursor.fetchone()
        yield bool(row is not None and row[0])
