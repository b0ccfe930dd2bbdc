"""Old events lose their contents and keep their keys: none of them is ever counted again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.database import Database
from dmp_ingest.adapters.log_batches import LogBatches
from dmp_ingest.adapters.log_cells import LogCells
from dmp_ingest.adapters.log_retention import LogRetention
from dmp_ingest.api.errors import ERRORS
from dmp_ingest.app import SERVICE
from dmp_ingest.domain.errors import ExpiredRangeError
from dmp_ingest.expire_log import DistributedLogError, expire_log
from dmp_ingest.settings import read_settings
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=40)


@pytest.fixture
async def database(ingest_database_url: str) -> AsyncIterator[Database]:
    database = Database.connect(ingest_database_url, pool_size=2, application_name="test")
    yield database
    await database.close()


def old_event(event_id: str, **fields: object) -> dict[str, object]:
    return campaign_event(
        event_id,
        **{"occurred_at": OLD.isoformat(), "user_id": "u", "metadata": {"a": 1}, "creative_id": "cr", **fields},
    )


def receive_earlier(url: str, *, days: int) -> None:
    """Has everything that is in the log be there for longer, and lets the next round begin."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE event SET received_at = received_at - %s * interval '1 day'", (days,))
        connection.execute("UPDATE log_horizon SET due_at = now()")


def rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT event_id, type, source, campaign_id, creative_id, user_id, identifiers::text, metadata::text"
            " FROM event ORDER BY occurred_at, event_key"
        ).fetchall()


EMPTY = ("", "", None, None, None, None, None, None)


async def verdict(ingest: Ingest, event: dict[str, object]) -> str:
    _, answer = await ingest.post(event)
    message: str = answer["results"][0]["message"]
    return message


async def test_what_is_old_is_emptied_and_never_counts_again(ingest: Ingest, database: Database) -> None:
    young = campaign_event("young", user_id="u")
    await ingest.post([old_event("old"), old_event("older", occurred_at="2020-01-01T00:00:00Z"), young])
    receive_earlier(ingest.database_url, days=2)
    assert await expire_log(LogRetention(database), days=30, now=NOW) == 2
    first, second, third = rows(ingest.database_url)
    assert (first, second, third[:2]) == (EMPTY, EMPTY, ("young", "click"))
    accepted = len(ingest.consumers.stats.event_ids)
    with psycopg.connect(ingest.database_url, autocommit=True) as connection:
        connection.execute("VACUUM FULL event")  # what Redis remembers is not believed from here on
    assert await verdict(ingest, old_event("old")) == "duplicate ignored"
    assert "other content" in await verdict(ingest, old_event("old", occurred_at=NOW.isoformat()))
    assert await verdict(ingest, young) == "duplicate ignored"
    assert len(ingest.consumers.stats.event_ids) == accepted
    with psycopg.connect(ingest.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (3,)


async def test_an_event_that_arrives_late_is_counted_and_emptied_later(ingest: Ingest, database: Database) -> None:
    retention = LogRetention(database)
    await ingest.post(campaign_event("young"))
    assert await expire_log(retention, days=30, now=NOW) == 0
    receive_earlier(ingest.database_url, days=2)
    _, answer = await ingest.post(old_event("late"))
    assert answer["accepted"] == 1
    receive_earlier(ingest.database_url, days=0)
    assert await expire_log(retention, days=30, now=NOW) == 0
    receive_earlier(ingest.database_url, days=2)
    assert await expire_log(retention, days=30, now=NOW) == 1


async def test_one_replica_empties_in_each_round(ingest: Ingest, database: Database) -> None:
    retention = LogRetention(database)
    await ingest.post([old_event("old"), campaign_event("young")])
    receive_earlier(ingest.database_url, days=2)
    assert await expire_log(retention, days=100, now=NOW) == 0
    assert await expire_log(retention, days=30, now=NOW) == 0
    receive_earlier(ingest.database_url, days=0)
    assert await expire_log(retention, days=30, now=NOW) == 1


async def test_a_clock_that_is_ahead_empties_nothing(ingest: Ingest, database: Database) -> None:
    await ingest.post([old_event("old"), campaign_event("young")])
    receive_earlier(ingest.database_url, days=2)
    assert await expire_log(LogRetention(database), days=30, now=NOW + timedelta(days=365)) == 0
    assert len([row for row in rows(ingest.database_url) if row == EMPTY]) == 0


async def test_what_somebody_has_locked_is_passed_over(ingest: Ingest, database: Database) -> None:
    await ingest.post([old_event("old"), old_event("other"), campaign_event("young")])
    receive_earlier(ingest.database_url, days=2)
    with psycopg.connect(ingest.database_url) as connection:
        connection.execute("SELECT FROM event WHERE event_id = 'old' FOR UPDATE")
        assert await expire_log(LogRetention(database), days=30, now=NOW) == 1
    receive_earlier(ingest.database_url, days=0)
    assert await expire_log(LogRetention(database), days=30, now=NOW) == 1


async def test_questions_about_what_is_gone_are_answered_so(ingest: Ingest, database: Database) -> None:
    await ingest.post([old_event("old"), campaign_event("young")])
    receive_earlier(ingest.database_url, days=2)
    await expire_log(LogRetention(database), days=30, now=NOW)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ingest.stub.GetEvent(pb.GetEventRequest(event_id="old"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert "is older than the log keeps events" in (refused.value.details() or "")
    batches = LogBatches(database, counts_as={})
    parts = [part async for part in batches.find(first_us=0, end_us=1 << 55)]
    assert sum(map(len, parts)) == 1


async def test_minutes_whose_events_are_gone_are_not_audited_or_repaired(ingest: Ingest, database: Database) -> None:
    await ingest.post([old_event("old"), campaign_event("young")])
    cells = LogCells(database)
    minute = int(OLD.timestamp()) // 60
    assert (await cells.read(campaign_id="", first=minute, last=minute)).cells
    receive_earlier(ingest.database_url, days=2)
    await expire_log(LogRetention(database), days=30, now=NOW)
    begins = int((NOW - timedelta(days=30)).timestamp()) // 60
    for reading in (
        cells.read(campaign_id="", first=minute, last=minute),
        cells.read_named(first=begins - 1, last=begins),
        cells.read_detailed(campaign_id="camp_1", minutes=[begins, minute]),
    ):
        with pytest.raises(ExpiredRangeError) as refused:
            await reading
        assert refused.value.first == begins
    assert not (await cells.read(campaign_id="", first=begins, last=begins)).cells
    told = ERRORS[ExpiredRangeError]
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert callable(told.field_violations)
    (violation,) = told.field_violations(ExpiredRangeError(first=begins))
    assert violation.field == "from"
    assert "the log keeps no older events" in violation.description


async def test_a_service_that_is_told_to_empties_old_events_by_itself(ingest: Ingest) -> None:
    await ingest.post([old_event("old"), campaign_event("young")])
    receive_earlier(ingest.database_url, days=2)
    environment = {
        "DMP_INGEST_DATABASE_URL": ingest.database_url,
        "DMP_REDIS_URL": ingest.redis_url,
        "DMP_INGEST_LISTEN": "127.0.0.1:0",
        "DMP_IDENTITY_ADDRESS": ingest.consumers.identity_address,
        "DMP_STATS_ADDRESS": ingest.consumers.stats_address,
        "DMP_INGEST_LOG_RETENTION_DAYS": "30",
    }
    async with await SERVICE.start(read_settings(environment)):
        await eventually(lambda: rows(ingest.database_url)[0] == EMPTY)


async def test_a_log_that_is_distributed_is_left_as_it_is(ingest: Ingest, database: Database) -> None:
    await ingest.post([old_event("old"), campaign_event("young")])
    receive_earlier(ingest.database_url, days=2)
    with psycopg.connect(ingest.database_url) as connection:  # as Citus notes it
        connection.execute("CREATE TABLE pg_dist_partition AS SELECT 'event'::regclass AS logicalrelid")
    with pytest.raises(DistributedLogError):
        await expire_log(LogRetention(database), days=30, now=NOW)
    with psycopg.connect(ingest.database_url) as connection:
        assert connection.execute("SELECT FROM log_horizon").fetchall() == []
        connection.execute("DROP TABLE pg_dist_partition")
    assert await expire_log(LogRetention(database), days=30, now=NOW) == 1
