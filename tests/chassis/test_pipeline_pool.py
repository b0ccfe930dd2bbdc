"""Connections that run one statement: reused, replaced when they die, closed at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.pipeline_pool import PipelinePool
from tests.chassis.conftest import FragilePostgres
from tests.conditions import eventually

NAME = "pool test"
_SLEEPY = b"SELECT $1::text, pg_backend_pid(), pg_sleep($2::float8)"
_NOW, _LONG = b"\0" * 8, b"\x3f\xf0" + b"\0" * 6
"""0 and 1 as float8."""


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[PipelinePool]:
    opened = PipelinePool(database_url, _SLEEPY, parameters=2, application_name=NAME)
    yield opened
    await opened.close()


async def backend(pool: PipelinePool, *, once: bool, seconds: bytes = _NOW) -> bytes | None:
    """Which server process has run a call."""
    calls = [(b"a", seconds), (b"b", _NOW)]
    results = await (pool.run_once(calls) if once else pool.run_idempotent(calls))
    assert [result.get_value(0, 0) for result in results] == [b"a", b"b"]
    return results[0].get_value(0, 1)


async def connections(database_url: str) -> int:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (NAME,))
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def end_server_processes(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", (NAME,)
        )


@pytest.mark.parametrize("once", [True, False])
async def test_runs_one_after_another_share_a_connection_and_runs_at_once_do_not(
    pool: PipelinePool, database_url: str, once: bool
) -> None:
    first = await backend(pool, once=once)
    assert await backend(pool, once=once) == first
    both = await asyncio.gather(*(backend(pool, once=once, seconds=_LONG) for _ in range(2)))
    assert len(set(both)) == 2
    assert await connections(database_url) == 2


@pytest.mark.parametrize("once", [True, False])
async def test_connections_that_died_while_idle_are_replaced(pool: PipelinePool, database_url: str, once: bool) -> None:
    before = set(await asyncio.gather(*(backend(pool, once=once, seconds=_LONG) for _ in range(2))))
    await end_server_processes(database_url)
    assert await backend(pool, once=once) not in before


@pytest.mark.parametrize("once", [True, False])
async def test_a_call_that_the_server_refuses_is_raised_and_costs_no_connection(
    pool: PipelinePool, database_url: str, once: bool
) -> None:
    first = await backend(pool, once=once)
    run = pool.run_once if once else pool.run_idempotent
    with pytest.raises(psycopg.errors.CharacterNotInRepertoire):
        await run([(b"\xff", _NOW)])
    assert await backend(pool, once=once) == first
    assert await connections(database_url) == 1


async def test_a_run_that_is_given_up_costs_its_connection(pool: PipelinePool, database_url: str) -> None:
    first = await backend(pool, once=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await backend(pool, once=True, seconds=_LONG)
    assert await backend(pool, once=True) != first


@pytest.mark.parametrize("once", [True, False])
async def test_closing_closes_what_is_idle_at_once_and_the_rest_when_it_is_done(
    pool: PipelinePool, database_url: str, once: bool
) -> None:
    await asyncio.gather(*(backend(pool, once=once, seconds=_LONG) for _ in range(2)))
    running = asyncio.ensure_future(backend(pool, once=once, seconds=_LONG))
    await asyncio.sleep(0)
    await pool.close()
    await running

    async def all_closed() -> bool:
        return await connections(database_url) == 0

    await eventually(all_closed)


async def test_a_database_that_is_gone_is_an_outage(fragile_postgres: FragilePostgres) -> None:
    pool = PipelinePool(fragile_postgres.url, _SLEEPY, parameters=2, application_name=NAME)
    await backend(pool, once=True)
    fragile_postgres.stop()
    for once in (True, False):
        with pytest.raises((psycopg.OperationalError, DependencyUnavailable)):
            await backend(pool, once=once)
    fragile_postgres.start()
    assert await backend(pool, once=True) is not None
    await pool.close()


async def test_a_database_that_does_not_answer_costs_a_single_run_no_longer_than_its_patience(
    fragile_postgres: FragilePostgres,
) -> None:
    pool = PipelinePool(fragile_postgres.url, _SLEEPY, parameters=2, application_name=NAME, acquire_seconds=0.3)
    fragile_postgres.freeze()
    begun = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        await backend(pool, once=True)
    assert time.monotonic() - begun < 3
    fragile_postgres.thaw()
    await pool.close()
