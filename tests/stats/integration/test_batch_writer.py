"""Writing batches: together where they come together, each on its own account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.uuid7 import uuid7_text
from dmp_stats.adapters.batch_writer import Applied, BatchWriter
from tests.conditions import eventually


@pytest.fixture
async def writer(stats_database_url: str) -> AsyncIterator[BatchWriter]:
    """Writes to a database of its own."""
    opened = BatchWriter(stats_database_url, acquire_seconds=0.9)
    yield opened
    await opened.close()


@pytest.fixture
async def database(stats_database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Another connection to it."""
    async with await psycopg.AsyncConnection.connect(stats_database_url, autocommit=True) as connection:
        yield connection


async def write(writer: BatchWriter, batch_id: str, content: bytes = b"cells") -> Applied:
    return await writer.write(batch_id=batch_id, cells=content, last_second=7, activity=content)


async def rows(database: psycopg.AsyncConnection[Any], query: Any) -> list[Any]:  # noqa: ANN401 -- a query
    return await (await database.execute(query)).fetchall()


async def until_waiting(database: psycopg.AsyncConnection[Any], count: int) -> None:
    """Returns once so many transactions wait for another one."""

    async def so_many_wait() -> bool:
        return len(await rows(database, "SELECT FROM pg_locks WHERE NOT granted")) >= count

    await eventually(so_many_wait)


async def test_batches_that_come_together_share_transactions_and_have_rows_of_their_own(
    writer: BatchWriter, database: psycopg.AsyncConnection[Any]
) -> None:
    contents = [f"{number}".encode() * 2_000 for number in range(200)]
    applied = await asyncio.gather(*(write(writer, uuid7_text(), content) for content in contents))
    assert all(each.is_new for each in applied)
    assert dict(await rows(database, "SELECT seq, cells FROM rollup_delta")) == {
        each.delta_seq: content for each, content in zip(applied, contents, strict=True)
    }
    assert dict(await rows(database, "SELECT seq, sightings FROM window_batch")) == {
        each.window_seq: content for each, content in zip(applied, contents, strict=True)
    }
    assert len(await rows(database, "SELECT DISTINCT xact_id FROM window_batch")) < 50


async def test_a_batch_that_comes_twice_at_once_is_written_once(
    writer: BatchWriter, database: psycopg.AsyncConnection[Any]
) -> None:
    ids = [uuid7_text() for _ in range(20)]
    applied = await asyncio.gather(*(write(writer, batch_id) for batch_id in ids * 5))
    assert sum(each.is_new for each in applied) == 20
    assert len(await rows(database, "SELECT FROM rollup_delta")) == 20


async def test_one_that_cannot_be_written_does_not_keep_the_others_from_it(
    writer: BatchWriter, database: psycopg.AsyncConnection[Any]
) -> None:
    ids = [*(uuid7_text() for _ in range(30)), "ab", *(uuid7_text() for _ in range(30))]
    outcomes = await asyncio.gather(*(write(writer, batch_id) for batch_id in ids), return_exceptions=True)
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert [type(error) for error in failed] == [psycopg.errors.ProtocolViolation]
    assert isinstance(outcomes[30], psycopg.Error)
    assert len(await rows(database, "SELECT FROM inbox")) == 60


async def test_a_connection_that_died_while_idle_is_replaced(
    writer: BatchWriter, database: psycopg.AsyncConnection[Any]
) -> None:
    await asyncio.gather(*(write(writer, uuid7_text()) for _ in range(5)))
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dmp-stats batches'"
    assert await rows(database, ended)
    applied = await asyncio.gather(*(write(writer, uuid7_text()) for _ in range(5)))
    assert all(each.is_new for each in applied)


async def test_nobody_waits_for_long_when_no_transaction_ends(
    stats_database_url: str, database: psycopg.AsyncConnection[Any]
) -> None:
    writer = BatchWriter(stats_database_url, acquire_seconds=0.1)
    held = [uuid7_text() for _ in range(2)]
    stuck: list[asyncio.Future[Applied]] = []
    async with database.transaction():
        for batch_id in held:
            await database.execute("INSERT INTO inbox VALUES (%s)", (batch_id,))
        for batch_id in held:
            stuck.append(asyncio.ensure_future(write(writer, batch_id)))
            await until_waiting(database, len(stuck))
        with pytest.raises(DependencyUnavailable):
            await write(writer, uuid7_text())
        assert not any(each.done() for each in stuck)
    assert [each.is_new for each in await asyncio.gather(*stuck)] == [False, False]
    assert (await write(writer, uuid7_text())).is_new
    await writer.close()


async def test_a_caller_that_gives_up_leaves_the_others_alone(writer: BatchWriter) -> None:
    calls = [asyncio.ensure_future(write(writer, uuid7_text())) for _ in range(40)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    assert all(each.is_new for each in await asyncio.gather(*calls[1::2]))
    assert all(call.cancelled() for call in calls[::2])


async def test_closing_ends_what_is_under_way(stats_database_url: str, database: psycopg.AsyncConnection[Any]) -> None:
    writer = BatchWriter(stats_database_url, acquire_seconds=0.1)
    held = uuid7_text()
    async with database.transaction():
        await database.execute("INSERT INTO inbox VALUES (%s)", (held,))
        call = asyncio.ensure_future(write(writer, held))
        await until_waiting(database, 1)
        await writer.close()
        with pytest.raises(asyncio.CancelledError):
            await call
    with pytest.raises(DependencyUnavailable):
        await write(writer, uuid7_text())
