"""Of a Citus cluster only the coordinator is asked: whoever is sent to a worker hears it, and nothing is done there.

What tells the nodes apart is a table of Citus with one row; here the tests make it.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy.exc

from dmp_chassis.citus import WorkerNodeError, refuse_worker
from dmp_chassis.database import Database
from dmp_chassis.pipeline import Pipeline
from tests.servers import PostgresFixture

_NUMBERS = itertools.count(1)


@pytest.fixture
def url(postgres: PostgresFixture) -> Iterator[str]:
    """A database that is empty."""
    name = f"node_{next(_NUMBERS)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def make_node(url: str, group: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE pg_dist_local_group (groupid integer)")
        connection.execute("INSERT INTO pg_dist_local_group VALUES (%s)", (group,))


async def plan_of(url: str) -> str:
    forced = f"{url}{'&' if '?' in url else '?'}options=-c%20plan_cache_mode%3Dforce_generic_plan"
    database = Database.connect(forced, pool_size=1, application_name="test")
    try:
        async with database.read() as connection:
            shown: str = (await connection.exec_driver_sql("SHOW plan_cache_mode")).scalar_one()
            return shown
    finally:
        await database.close()


async def test_no_connection_to_a_worker_is_used(url: str) -> None:
    make_node(url, 3)
    database = Database.connect(url, pool_size=1, application_name="test")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="worker of a Citus cluster"):
        await database.check()
    with pytest.raises(sqlalchemy.exc.OperationalError, match="worker of a Citus cluster"):
        async with database.begin():
            pytest.fail("a worker was asked")
    await database.close()
    with pytest.raises(WorkerNodeError):
        await Pipeline.connect(url, b"SELECT 1", parameters=0, application_name="test")
    with pytest.raises(WorkerNodeError):
        await refuse_worker(url)


async def test_a_coordinator_is_asked_and_plans_for_the_parameters_that_are_given(url: str) -> None:
    assert await plan_of(url) == "force_generic_plan"
    make_node(url, 0)
    assert await plan_of(url) == "auto"
    await refuse_worker(url)


async def test_whether_a_database_is_there_is_not_asked_at_the_start() -> None:
    await refuse_worker("postgresql://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize(("command", "code"), [("serve", 2), ("migrate", 1)])
def test_a_service_that_is_sent_to_a_worker_says_so_and_ends(url: str, command: str, code: int) -> None:
    make_node(url, 1)
    done = subprocess.run(
        [sys.executable, "-m", "dmp_stats", command],
        env={
            "PATH": os.environ["PATH"],
            "DMP_STATS_DATABASE_URL": url,
            "DMP_REDIS_URL": "unix:///nowhere",
            "DMP_PLAIN_INSIDE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert "worker of a Citus cluster" in done.stderr
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert tables.fetchall() == [("pg_dist_local_group",)]
