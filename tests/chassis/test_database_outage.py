"""What a service notices of a PostgreSQL that is away, restarts, is killed or does not answer any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
import sqlalchemy.exc

from dmp_chassis.database import Database
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.outages import outage
from tests.chassis.conftest import FragilePostgres
from tests.conditions import eventually

POOL_SIZE = 4


@pytest_asyncio.fixture
async def database(fragile_postgres: FragilePostgres) -> AsyncIterator[Database]:
    """A database whose pool is full of connections that have been used."""
    opened = Database.connect(fragile_postgres.url, pool_size=POOL_SIZE, application_name="chassis test")
    await fill_pool(opened)
    yield opened
    fragile_postgres.thaw()
    await opened.close()


async def fill_pool(database: Database) -> None:
    """As many transactions at once as there are connections; fails unless all of them succeed."""
    everybody_is_in = asyncio.Barrier(POOL_SIZE)

    async def one() -> None:
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT 1"))
            await everybody_is_in.wait()

    async with asyncio.timeout(10):
        await asyncio.gather(*(one() for _ in range(POOL_SIZE)))


async def fails_quickly(database: Database) -> None:
    """A transaction and a check both fail as an outage, each within about a second."""
    started = time.monotonic()
    with pytest.raises(Exception) as in_transaction:  # noqa: PT011 -- several kinds, all of which are outages
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT 1"))
    with pytest.raises(Exception) as in_check:  # noqa: PT011 -- several kinds, all of which are outages
        await database.check()
    assert time.monotonic() - started < 3.5
    for error in (in_transaction.value, in_check.value):
        assert isinstance(error, DependencyUnavailable) or outage(error) is not None


async def recovers(database: Database) -> None:
    """The check succeeds again before long; from then on so does every transaction, on the whole pool."""

    async def is_up() -> bool:
        try:
            await database.check()
        except Exception:  # noqa: BLE001 -- still away
            return False
        return True

    await eventually(is_up, within_seconds=20)
    await fill_pool(database)


async def test_a_database_that_never_was_there_fails_quickly(tmp_path: Path) -> None:
    database = Database.connect(f"postgresql://x@/x?host={tmp_path}", pool_size=1, application_name="chassis test")
    await fails_quickly(database)
    await database.close()


async def test_a_restart_under_a_full_pool_goes_unnoticed(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    await asyncio.to_thread(fragile_postgres.restart)
    await fill_pool(database)
    await database.check()


async def test_a_transaction_that_is_open_during_a_restart_fails_and_the_next_one_works(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    async def restart_within() -> None:
        async with database.begin() as connection:
            await asyncio.to_thread(fragile_postgres.restart)
            await connection.execute(sa.text("SELECT 1"))

    with pytest.raises(sqlalchemy.exc.OperationalError) as raised:
        await restart_within()
    assert outage(raised.value) is not None
    await fill_pool(database)


async def test_a_kill_goes_unnoticed_once_the_server_is_back(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    await asyncio.to_thread(fragile_postgres.kill)
    await recovers(database)


async def test_a_stopped_server_fails_quickly_and_recovers_by_itself(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    await asyncio.to_thread(fragile_postgres.stop)
    for _ in range(POOL_SIZE + 1):
        await fails_quickly(database)
    await asyncio.to_thread(fragile_postgres.start)
    await recovers(database)


async def test_a_frozen_server_fails_quickly_and_recovers_by_itself(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    fragile_postgres.freeze()
    for _ in range(POOL_SIZE + 2):
        await fails_quickly(database)
    fragile_postgres.thaw()
    await recovers(database)


async def test_callers_that_arrive_together_at_a_frozen_server_all_fail_quickly(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    async def try_it() -> None:
        async with database.begin():
            pass

    fragile_postgres.freeze()
    started = time.monotonic()
    results = await asyncio.gather(*(try_it() for _ in range(50)), return_exceptions=True)
    assert time.monotonic() - started < 3
    assert all(isinstance(result, Exception) for result in results)
    fragile_postgres.thaw()
    await recovers(database)


async def test_a_statement_that_is_under_way_when_the_server_freezes_can_be_given_up_quickly(
    database: Database, fragile_postgres: FragilePostgres
) -> None:
    async def wait_for_the_server() -> None:
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(60)"))

    async def is_under_way() -> bool:
        async with database.read() as connection:
            running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
            return bool((await connection.execute(sa.text(running))).scalar())

    waiting = asyncio.ensure_future(wait_for_the_server())
    await eventually(is_under_way)
    fragile_postgres.freeze()
    started = time.monotonic()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert time.monotonic() - started < 2
    fragile_postgres.thaw()
    await recovers(database)
