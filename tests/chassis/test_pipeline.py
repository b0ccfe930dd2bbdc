"""One connection, one statement, many calls in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from dmp_chassis.pipeline import Pipeline
from tests.conditions import eventually

_ADD = b"INSERT INTO noted (note) VALUES ($1::text) RETURNING octet_length(note)"


@pytest_asyncio.fixture
async def pipeline(database_url: str) -> AsyncIterator[Pipeline]:
    """A connection that adds texts of at most five bytes to an empty table."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("DROP TABLE IF EXISTS noted")
        await connection.execute("CREATE TABLE noted (note text CHECK (octet_length(note) <= 5))")
    opened = await Pipeline.connect(database_url, _ADD, parameters=1, application_name="pipeline test")
    yield opened
    await opened.close()


async def notes(database_url: str) -> list[str | None]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        return [row[0] for row in await (await connection.execute("SELECT note FROM noted")).fetchall()]


async def end_server_process(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pipeline test'"
        )


async def test_results_come_in_the_order_of_the_calls(pipeline: Pipeline, database_url: str) -> None:
    results = await pipeline.run([(b"abc",), (None,), (b"a",)])
    sizes = [result.get_value(0, 0) for result in results]
    assert sizes == [(3).to_bytes(4, "big"), None, (1).to_bytes(4, "big")]
    assert await notes(database_url) == ["abc", None, "a"]


async def test_calls_happen_together_or_not_at_all(pipeline: Pipeline, database_url: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await pipeline.run([(b"abc",), (b"too long",), (b"a",)])
    assert await notes(database_url) == []
    assert not pipeline.is_lost
    await pipeline.run([(b"abc",)])
    assert await notes(database_url) == ["abc"]


async def test_a_large_call_gets_through(pipeline: Pipeline) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await pipeline.run([(b"x" * 50_000_000,)])


async def test_many_large_calls_with_large_answers_get_through(database_url: str) -> None:
    """The first answers come while the last calls are still being sent: nobody waits for the other."""
    echo = await Pipeline.connect(database_url, b"SELECT $1::text", parameters=1, application_name="echo")
    texts = [str(number).encode() * 100_000 for number in range(10, 90)]
    for _ in range(2):
        assert [result.get_value(0, 0) for result in await echo.run([(text,) for text in texts])] == texts
        assert not echo.is_lost
    await echo.close()


async def test_a_lost_connection_is_noticed_by_the_call(pipeline: Pipeline, database_url: str) -> None:
    await end_server_process(database_url)
    with pytest.raises(psycopg.OperationalError):
        await pipeline.check()
    assert pipeline.is_lost


async def test_a_connection_that_was_used_is_known_to_be_lost_before(pipeline: Pipeline, database_url: str) -> None:
    await pipeline.check()
    assert not pipeline.is_lost
    await end_server_process(database_url)

    async def is_lost() -> bool:
        return pipeline.is_lost

    await eventually(is_lost)


async def test_a_wrong_statement_is_said_at_once(database_url: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await Pipeline.connect(database_url, b"SELECT FROM nowhere", parameters=0, application_name="wrong")
