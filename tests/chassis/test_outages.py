"""Which errors are the absence of a dependency."""

from __future__ import annotations

import psycopg
import pytest
import redis.exceptions

from dmp_chassis.database import Database
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.outages import outage


@pytest.mark.parametrize(
    ("error", "dependency"),
    [
        (psycopg.OperationalError("the connection is lost"), "postgres"),
        (redis.exceptions.ConnectionError("refused"), "redis"),
        (redis.exceptions.OutOfMemoryError("full"), "redis"),
        (DependencyUnavailable("identity"), "identity"),
    ],
)
def test_an_absence_names_what_is_absent(error: Exception, dependency: str) -> None:
    found = outage(error)
    assert found is not None
    assert found.dependency == dependency


def test_a_mistake_of_ours_is_not_an_absence() -> None:
    assert outage(ValueError("wrong")) is None


async def test_a_pool_that_is_used_up_is_an_absence(database_url: str) -> None:
    database = Database.connect(database_url, pool_size=1, application_name="test", acquire_seconds=0.2)
    async with database.begin():
        with pytest.raises(Exception) as raised:  # noqa: PT011 -- whatever it is, it has to be known as an outage
            async with database.begin():
                pass
    await database.close()
    assert outage(raised.value) is not None
