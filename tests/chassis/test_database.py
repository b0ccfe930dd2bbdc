"""Transactions: what commits, what does not, who waits, and who tries again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database, after_commit, raw, retrying, sql_state
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.outages import outage

METADATA = sa.MetaData()
ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("note", JSONB),
)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with an empty table, and two connections to it."""
    opened = Database.connect(database_url, pool_size=2, application_name="chassis test")
    async with opened.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield opened
    await opened.close()


async def put(connection: AsyncConnection, name: str, amount: int = 0, note: object = None) -> None:
    await connection.execute(sa.insert(ACCOUNT), {"name": name, "amount": amount, "note": note})


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(ACCOUNT.c.name).order_by(ACCOUNT.c.name))).scalars())


async def test_a_block_that_ends_is_committed(database: Database) -> None:
    async with database.begin() as connection:
        await put(connection, "a")
        assert await names(database) == []
    assert await names(database) == ["a"]


async def test_a_block_that_is_cancelled_says_so_even_if_its_connection_is_lost(database: Database) -> None:
    """A background loop that survives outages must not take its own end for one of them."""
    begun = asyncio.Event()

    async def wait_and_lose() -> None:
        async with database.begin() as connection:
            await put(connection, "a")
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                raw(connection).pgconn.finish()

    task = asyncio.ensure_future(wait_and_lose())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(database) == []


async def test_a_block_that_raises_is_rolled_back(database: Database) -> None:
    async def put_and_fail() -> None:
        async with database.begin() as connection:
            await put(connection, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await put_and_fail()
    assert await names(database) == []


async def test_a_failed_statement_rolls_everything_back(database: Database) -> None:
    async def put_twice() -> None:
        async with database.begin() as connection:
            await put(connection, "a")
            await put(connection, "a")

    with pytest.raises(sqlalchemy.exc.IntegrityError) as raised:
        await put_twice()
    assert sql_state(raised.value) == "23505"
    assert outage(raised.value) is None
    assert await names(database) == []


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(sqlalchemy.exc.DBAPIError) as raised:
        async with database.read() as connection:
            await put(connection, "a")
    assert sql_state(raised.value) == "25006"


async def test_a_read_sees_one_state_of_the_database(database: Database) -> None:
    count = sa.select(sa.func.count()).select_from(ACCOUNT)
    async with database.read() as reading:
        assert (await reading.execute(count)).scalar_one() == 0
        async with database.begin() as writing:
            await put(writing, "a")
        assert (await reading.execute(count)).scalar_one() == 0
    assert await names(database) == ["a"]


async def test_copy_belongs_to_the_same_transaction(database: Database) -> None:
    async def copy(connection: AsyncConnection) -> None:
        async with raw(connection).cursor() as cursor, cursor.copy("COPY account (name, amount) FROM STDIN") as rows:
            await rows.write_row(("a", 1))
            await rows.write_row(("b", 2))

    async def copy_and_fail() -> None:
        async with database.begin() as connection:
            await copy(connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await copy_and_fail()
    assert await names(database) == []
    async with database.begin() as connection:
        await copy(connection)
    assert await names(database) == ["a", "b"]


async def test_a_savepoint_saves_the_rest_of_a_transaction(database: Database) -> None:
    async def put_a_again(connection: AsyncConnection) -> None:
        async with connection.begin_nested():
            await put(connection, "a")

    async with database.begin() as connection:
        await put(connection, "a")
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            await put_a_again(connection)
        await put(connection, "b")
    assert await names(database) == ["a", "b"]


async def test_json_keeps_large_numbers_and_text(database: Database) -> None:
    note = {"big": 10**30, "text": "ü", "none": None, "list": [1.5, True]}
    async with database.begin() as connection:
        await put(connection, "a", note=note)
    async with database.read() as connection:
        assert (await connection.execute(sa.select(ACCOUNT.c.note))).scalar_one() == note


async def test_a_callback_runs_after_the_commit_and_only_then(database: Database) -> None:
    seen: list[str] = []

    async def fail() -> None:
        async with database.begin() as connection:
            after_commit(connection, lambda: seen.append("rolled back"))
            raise ZeroDivisionError

    async with database.begin() as connection:
        await put(connection, "a")
        after_commit(connection, lambda: seen.append("first"))
        assert seen == []
    assert seen == ["first"]
    with pytest.raises(ZeroDivisionError):
        await fail()
    for _ in range(3):
        async with database.begin():
            pass
    assert seen == ["first"]


async def test_connections_say_who_they_are(database: Database) -> None:
    async with database.read() as connection:
        name = (await connection.execute(sa.text("SELECT current_setting('application_name')"))).scalar_one()
    assert name == "chassis test"


async def test_a_statement_has_a_time_limit(database_url: str) -> None:
    database = Database.connect(
        database_url, pool_size=1, application_name="chassis test", statement_timeout_seconds=0.05
    )
    with pytest.raises(sqlalchemy.exc.OperationalError) as raised:
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(5)"))
    assert sql_state(raised.value) == "57014"
    async with database.begin() as connection:
        await connection.execute(sa.text("SELECT 1"))
    await database.close()


async def test_an_option_of_the_url_wins(database_url: str) -> None:
    database = Database.connect(
        f"{database_url}&options=-c%20statement_timeout%3D1234ms", pool_size=1, application_name="chassis test"
    )
    async with database.read() as connection:
        limit = (await connection.execute(sa.text("SELECT current_setting('statement_timeout')"))).scalar_one()
    await database.close()
    assert limit == "1234ms"


async def test_an_error_does_not_quote_the_parameters(database: Database) -> None:
    with pytest.raises(sqlalchemy.exc.DBAPIError) as raised:
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT CAST(:a AS text) || no_such_column"), {"a": "hunter2"})
    assert "hunter2" not in str(raised.value)


async def test_a_caller_that_finds_no_free_connection_fails_within_a_second(database: Database) -> None:
    async with database.begin(), database.begin():
        started = time.monotonic()
        with pytest.raises(Exception) as raised:  # noqa: PT011 -- one of two, both of which are outages
            async with database.begin():
                pass
        assert time.monotonic() - started < 3
        assert outage(raised.value) is not None or isinstance(raised.value, DependencyUnavailable)
        await database.check()
    async with database.begin(), database.begin():
        pass


async def test_cancelled_callers_give_their_connections_back(database: Database) -> None:
    async def work(statement: str) -> None:
        async with database.begin() as connection:
            await connection.execute(sa.text(statement))

    for delay in (0, 0, 0.001, 0.002, 0.004, 0.01, 0.03):
        tasks = [asyncio.ensure_future(work("SELECT pg_sleep(20)")) for _ in range(4)]
        await asyncio.wait(tasks, timeout=delay)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
    async with asyncio.timeout(5):
        for _ in range(5):
            await asyncio.gather(work("SELECT 1"), work("SELECT 1"))


async def test_a_caller_cancelled_just_as_its_connection_comes_gives_it_back(database: Database) -> None:
    def cancel(caller: asyncio.Future[None], _: object) -> None:
        caller.cancel()

    async def work() -> None:
        async with database.begin():
            await asyncio.Event().wait()

    for _ in range(5):
        caller = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        (attempt,) = [task for task in asyncio.all_tasks() if "Database._open" in repr(task.get_coro())]
        attempt.add_done_callback(partial(cancel, caller))
        await asyncio.wait({caller})
        assert caller.cancelled()
    async with database.begin(), database.begin():
        pass


async def add_one(database: Database, attempts: int = 10) -> None:
    """A read and a write that lose an update unless transactions that conflict are run again."""

    async def unit() -> None:
        async with database.begin() as connection:
            await connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            query = sa.select(ACCOUNT.c.amount).where(ACCOUNT.c.name == "a")
            amount = (await connection.execute(query)).scalar_one()
            await connection.execute(sa.update(ACCOUNT).where(ACCOUNT.c.name == "a").values(amount=amount + 1))

    await retrying(unit, attempts=attempts)


async def test_work_that_conflicts_is_run_again_until_all_of_it_is_done(database_url: str) -> None:
    database = Database.connect(database_url, pool_size=4, application_name="chassis test")
    async with database.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await put(connection, "a")

    async def several() -> None:
        for _ in range(5):
            await add_one(database)

    await asyncio.gather(*(several() for _ in range(4)))
    async with database.read() as connection:
        assert (await connection.execute(sa.select(ACCOUNT.c.amount))).scalar_one() == 20
    await database.close()


async def test_a_deadlock_ends_with_both_units_done(database: Database) -> None:
    async with database.begin() as connection:
        await put(connection, "a")
        await put(connection, "b")
    both_hold_one = asyncio.Barrier(2)
    attempts = 0

    async def unit(first: str, second: str) -> None:
        nonlocal attempts
        attempts += 1
        async with database.begin() as connection:
            await connection.execute(sa.text("SET LOCAL deadlock_timeout = '20ms'"))
            for name in (first, second):
                more = {"amount": ACCOUNT.c.amount + 1}
                await connection.execute(sa.update(ACCOUNT).where(ACCOUNT.c.name == name).values(more))
                if name == first and attempts <= 2:
                    await both_hold_one.wait()

    await asyncio.gather(retrying(lambda: unit("a", "b")), retrying(lambda: unit("b", "a")))
    async with database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.sum(ACCOUNT.c.amount)))).scalar_one() == 4
    assert attempts == 3


async def test_attempts_are_bounded_and_the_last_error_is_raised() -> None:
    calls = 0

    async def unit() -> None:
        nonlocal calls
        calls += 1
        raise psycopg_error("40001")

    with pytest.raises(sqlalchemy.exc.OperationalError):
        await retrying(unit, attempts=3)
    assert calls == 3


async def test_another_error_is_not_tried_again() -> None:
    calls = 0

    async def unit() -> None:
        nonlocal calls
        calls += 1
        raise psycopg_error("23505")

    with pytest.raises(sqlalchemy.exc.OperationalError):
        await retrying(unit)
    assert calls == 1


def psycopg_error(state: str) -> sqlalchemy.exc.OperationalError:
    original = psycopg.errors.lookup(state)("made for the test")
    return sqlalchemy.exc.OperationalError("SELECT 1", {}, original)


async def test_a_connection_that_no_pool_knows_of_is_closed_with_the_others(ingest_database_url: str) -> None:
    database = Database.connect(ingest_database_url, pool_size=1, application_name="test")
    with contextlib.suppress(sqlalchemy.exc.OperationalError):  # the transaction has lost its connection
        async with database.begin() as connection:
            driver, below = raw(connection), connection.sync_connection
            assert below is not None
            below.detach()
            await database.close()
            assert driver.closed
