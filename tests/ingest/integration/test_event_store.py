"""The two ways into the log: a statement for a small group, COPY for a large one. They store the same."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from dmp_chassis.database import Database
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.instants import EARLIEST_US, LATEST_US
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.adapters.event_store import AlreadyStoredError, EventLog
from dmp_ingest.adapters.group_writer import GroupWriter, NewGroup
from dmp_ingest.domain.batch import Batch
from dmp_ingest.domain.event import AcceptableEvent
from tests.ingest.conftest import Ingest, campaign_event

RECEIVED_US = 1_700_000_000_123_456
PLAIN = AcceptableEvent(
    key=bytes(16),
    fingerprint=1,
    event_id="plain",
    type="click",
    counts_as=2,
    source="",
    occurred_at_us=1_700_000_000_000_001,
    campaign_id="",
    creative_id="",
    user_id="",
    person="",
    identifiers=(),
    metadata=b"",
)


def event(number: int, **fields: Any) -> AcceptableEvent:  # noqa: ANN401  # any field of an event
    return msgspec.structs.replace(PLAIN, key=number.to_bytes(16, "big"), event_id=f"event-{number}", **fields)


EVENTS = [
    event(1),
    event(2, source="wéb", campaign_id="c", creative_id="cr", user_id="ü\\\n\t", fingerprint=2**63 - 1),
    event(3, identifiers=(("email", 'a"b@c.d'), ("user_id", "ü")), metadata=b'{"b": 1.50,  "a": [null, "\xc3\xa9"]}'),
    event(4, occurred_at_us=EARLIEST_US, fingerprint=0),
    event(2**127 + 5, occurred_at_us=LATEST_US),
]


@pytest.fixture
async def log(ingest_database_url: str) -> AsyncIterator[EventLog]:
    database = Database.connect(ingest_database_url, pool_size=2, application_name="test")
    groups = GroupWriter(ingest_database_url)
    yield EventLog(database, groups)
    await groups.close()
    await database.close()


def batch_of(events: Sequence[AcceptableEvent]) -> Batch:
    return Batch(batch_id=uuid7_text(), payload=b"\x00payload", size=len(events))


async def at_once(log: EventLog, events: Sequence[AcceptableEvent], *acknowledged: str) -> Batch:
    batch = batch_of(events)
    announcement = DomainEvent(kind="EventsAccepted", payload={"batch_id": batch.batch_id, "count": len(events)})
    await log.append_at_once(
        NewGroup(
            events=events,
            batch=batch,
            received_at_us=RECEIVED_US,
            lease_seconds=10,
            announcements=[announcement],
            acknowledged=acknowledged,
        )
    )
    return batch


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


ALL = """
SELECT event_key, fingerprint, occurred_at::text, received_at, event_id, type, source, campaign_id, creative_id,
       user_id, identifiers::text, metadata::text
FROM event WHERE batch_id = '{}' ORDER BY event_key
"""


async def test_both_ways_store_the_same(log: EventLog, ingest_database_url: str) -> None:
    batch = await at_once(log, EVENTS)
    small = rows(ingest_database_url, ALL.format(batch.batch_id))
    with psycopg.connect(ingest_database_url) as connection:
        connection.execute("DELETE FROM event")
    async with log.begin() as appending:
        await appending.append(EVENTS, batch_id=uuid.UUID(batch.batch_id).bytes, received_at_us=RECEIVED_US)
    large = rows(ingest_database_url, ALL.format(batch.batch_id))
    assert len(small) == len(EVENTS)
    assert small == large


async def test_one_statement_keeps_the_outboxes_too(log: EventLog, ingest_database_url: str) -> None:
    first = await at_once(log, EVENTS[:2])
    second = await at_once(log, EVENTS[2:], first.batch_id)
    waiting = rows(ingest_database_url, "SELECT batch_id, payload, attempts, deliver_after > now() FROM outbox")
    assert waiting == [(uuid.UUID(second.batch_id), b"\x00payload", 0, True)]
    announced = rows(ingest_database_url, "SELECT kind, payload FROM domain_event_outbox ORDER BY id")
    assert announced == [
        ("EventsAccepted", {"batch_id": first.batch_id, "count": 2}),
        ("EventsAccepted", {"batch_id": second.batch_id, "count": 3}),
    ]


async def test_one_known_event_keeps_all_out(log: EventLog, ingest_database_url: str) -> None:
    first = await at_once(log, EVENTS[:1])
    with pytest.raises(AlreadyStoredError):
        await at_once(log, EVENTS, first.batch_id)
    assert rows(ingest_database_url, "SELECT event_id FROM event") == [("event-1",)]
    assert rows(ingest_database_url, "SELECT batch_id FROM outbox") == [(uuid.UUID(first.batch_id),)]
    await at_once(log, EVENTS[1:])


async def test_connections_that_the_server_has_ended_are_replaced(log: EventLog, ingest_database_url: str) -> None:
    for number in range(4):
        await at_once(log, [event(number)])
        await asyncio.to_thread(
            rows,
            ingest_database_url,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    await at_once(log, [event(9)])
    assert len(rows(ingest_database_url, "SELECT FROM event")) == 5


async def test_a_server_that_is_away_is_said_to_be() -> None:
    groups = GroupWriter("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises((DependencyUnavailable, psycopg.OperationalError)):
        await at_once(EventLog(Database.connect("postgresql:///x", pool_size=1, application_name="x"), groups), EVENTS)
    await groups.close()


async def test_small_and_large_requests_know_each_others_events(ingest: Ingest) -> None:
    few = [campaign_event(f"e{number}") for number in range(20)]
    many = few + [campaign_event(f"e{number}") for number in range(20, 420)]
    answers = [(await ingest.post(events))[1] for events in (few, many, few, many[300:])]
    assert [(answer["accepted"], answer["duplicates"]) for answer in answers] == [(20, 0), (400, 20), (0, 20), (0, 120)]
    assert sorted(ingest.consumers.stats.event_ids) == sorted(f"e{number}" for number in range(420))
