"""The inbox forgets what was applied long ago, and only that."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest

from dmp_chassis.database import Database
from dmp_chassis.expire_inbox import expire_inbox

_DAYS = 30
_A_DAY = 86_400


def _made(days_ago: float) -> str:
    """A batch's id as it was made so many days ago."""
    return str(uuid.UUID(int=(int((time.time() - days_ago * _A_DAY) * 1000) << 80) | uuid.uuid4().int >> 48))


@pytest.fixture
async def inbox(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[str]]]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "CREATE TABLE inbox (batch_id uuid PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        yield connection


async def _add(inbox: psycopg.AsyncConnection[tuple[str]], batch_id: str, *, applied_days_ago: float) -> None:
    await inbox.execute("INSERT INTO inbox VALUES (%s, now() - %s * interval '1 day')", (batch_id, applied_days_ago))


async def _kept(inbox: psycopg.AsyncConnection[tuple[str]]) -> set[str]:
    return {row[0] for row in await (await inbox.execute("SELECT batch_id::text FROM inbox")).fetchall()}


async def _expire(database_url: str) -> int:
    database = Database.connect(database_url, pool_size=1, application_name="test")
    try:
        return await expire_inbox(database, retention_days=_DAYS, now=time.time())
    finally:
        await database.close()


async def test_what_was_applied_long_ago_goes(database_url: str, inbox: psycopg.AsyncConnection[tuple[str]]) -> None:
    old, late, young, foreign = _made(31), _made(40), _made(29), str(uuid.UUID(int=(2**128 - 1)))
    await _add(inbox, old, applied_days_ago=31)
    await _add(inbox, late, applied_days_ago=1)  # its consumer was away for long: it may come again
    await _add(inbox, young, applied_days_ago=29)
    await _add(inbox, foreign, applied_days_ago=400)  # an id that tells no time
    assert await _expire(database_url) == 1
    assert await _kept(inbox) == {late, young, foreign}


async def test_more_than_a_slice_goes_in_one_round(
    database_url: str, inbox: psycopg.AsyncConnection[tuple[str]]
) -> None:
    await inbox.execute(
        "INSERT INTO inbox SELECT (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid,"
        " now() - interval '99 days' FROM generate_series(1, 12000) AS n"
    )
    assert await _expire(database_url) == 12_000
    assert await _kept(inbox) == set()
