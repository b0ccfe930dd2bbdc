"""What is left in the outbox: delivered soon, several batches at once, one consumer independent of the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.app import SERVICE
from dmp_ingest.settings import read_settings
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event
from tests.ingest.consumers import RecordingConsumers

_CATCH_UP_SECONDS = 15.0
_TWO_LEASES_SECONDS = 4.5


@pytest.fixture
async def second_replica(ingest: Ingest) -> AsyncIterator[None]:
    """Another ingest on the same database, which relays to the same consumers."""
    async with await SERVICE.start(
        read_settings(
            {
                "DMP_INGEST_DATABASE_URL": ingest.database_url,
                "DMP_REDIS_URL": ingest.redis_url,
                "DMP_INGEST_LISTEN": "127.0.0.1:0",
                "DMP_IDENTITY_ADDRESS": ingest.consumers.identity_address,
                "DMP_STATS_ADDRESS": ingest.consumers.stats_address,
            }
        )
    ):
        yield


def _payload(batch_id: str, text: str = "") -> bytes:
    batch = accepted_batch_pb2.AcceptedBatch(batch_id=batch_id, event_ids=[batch_id], texts=[text])
    return stats_service_pb2.ApplyBatchRequest(batch=batch).SerializeToString()


def _leave(
    ingest: Ingest, count: int, *, due_in_seconds: float = 0.0, text: str = "", identity_has_it: bool = False
) -> list[str]:
    """Batches of one event each, all at once, as a process leaves them that dies after its commit: their ids."""
    ids = [uuid7_text() for _ in range(count)]
    with psycopg.connect(ingest.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO outbox (batch_id, payload, identity_applied, stats_applied, attempts, deliver_after)"
            " VALUES (%s, %s, %s, false, 0, now() + %s * interval '1 second')",
            [(batch_id, _payload(batch_id, text), identity_has_it, due_in_seconds) for batch_id in ids],
        )
    return ids


def _waiting(ingest: Ingest) -> int:
    with psycopg.connect(ingest.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM outbox").fetchone()
    assert row is not None
    return int(row[0])


def _both(consumers: RecordingConsumers) -> list[list[str]]:
    return [sorted(consumers.identity.event_ids), sorted(consumers.stats.event_ids)]


async def test_a_backlog_reaches_both_and_leaves_the_outbox(ingest: Ingest) -> None:
    ids = _leave(ingest, 200)
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=_CATCH_UP_SECONDS)
    assert _both(ingest.consumers) == [ids, ids]


async def test_a_consumer_that_hangs_keeps_nothing_from_the_other(ingest: Ingest) -> None:
    ingest.consumers.identity.hanging = True
    ids = _leave(ingest, 50)
    # Identity's relay probes with one batch, which it has in hand meanwhile.
    await eventually(lambda: len(ingest.consumers.stats.batches) >= 49, within_seconds=_CATCH_UP_SECONDS)
    assert {*ingest.consumers.stats.event_ids} <= {*ids}


@pytest.mark.parametrize(("text", "count", "most"), [("", 180, 128), ("x" * 600_000, 60, 13), ("x" * 1_100_000, 60, 8)])
async def test_several_batches_are_under_way_the_more_the_smaller_but_not_any_number(
    ingest: Ingest, text: str, count: int, most: int
) -> None:
    stats = ingest.consumers.stats
    # For stats alone: what the relay of identity has in hand, that of stats cannot take.
    _leave(ingest, count, text=text, identity_has_it=True)
    await eventually(lambda: len(stats.batches) == count, within_seconds=_CATCH_UP_SECONDS)
    stats.held, stats.most_under_way = asyncio.Event(), 0
    _leave(ingest, count, text=text, identity_has_it=True)
    await eventually(lambda: stats.under_way == most, within_seconds=_CATCH_UP_SECONDS)
    stats.held.set()
    await eventually(lambda: len(stats.batches) == 2 * count, within_seconds=_CATCH_UP_SECONDS)
    assert stats.most_under_way == most


async def test_one_batch_at_a_time_probes_a_consumer_that_does_not_answer(ingest: Ingest) -> None:
    stats = ingest.consumers.stats
    stats.refusing = True
    _leave(ingest, 40)
    await eventually(lambda: stats.calls >= 4, within_seconds=10)
    assert stats.most_under_way == 1
    assert stats.calls < 20
    stats.refusing = False
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=_CATCH_UP_SECONDS)


async def test_a_batch_that_a_consumer_cannot_apply_holds_nobody_up(ingest: Ingest) -> None:
    stats = ingest.consumers.stats
    with_error = uuid7_text()
    stats.broken_batches.add(with_error)
    with psycopg.connect(ingest.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO outbox (batch_id, payload, identity_applied, stats_applied, attempts, deliver_after)"
            " VALUES (%s, %s, false, false, 0, now())",
            (with_error, _payload(with_error)),
        )
    _leave(ingest, 50)
    await eventually(lambda: _waiting(ingest) == 1, within_seconds=_CATCH_UP_SECONDS)
    _, answer = await ingest.post(campaign_event("live"))
    assert answer["applied"] is True
    stats.broken_batches.clear()
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=20)


async def test_a_process_that_lives_keeps_what_it_has_in_hand(ingest: Ingest, second_replica: None) -> None:
    stats = ingest.consumers.stats
    stats.held = asyncio.Event()
    posting = asyncio.ensure_future(ingest.post(campaign_event("slow")))
    await eventually(lambda: stats.calls == 1, within_seconds=_CATCH_UP_SECONDS)
    began = time.monotonic()
    await eventually(lambda: stats.calls > 1 or time.monotonic() > began + _TWO_LEASES_SECONDS, within_seconds=10)
    stats.held.set()
    await posting
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=_CATCH_UP_SECONDS)
    assert stats.calls == 1


async def test_what_a_dead_process_had_in_hand_is_soon_due(ingest: Ingest) -> None:
    ingest.consumers.stats.held = asyncio.Event()
    posting = asyncio.ensure_future(ingest.post(campaign_event("in hand")))
    await eventually(lambda: ingest.consumers.stats.calls == 1, within_seconds=_CATCH_UP_SECONDS)
    with psycopg.connect(ingest.database_url) as connection:
        row = connection.execute("SELECT extract(epoch FROM deliver_after - now()) FROM outbox").fetchone()
    assert row is not None
    assert 0 < row[0] <= 2
    ingest.consumers.stats.held.set()
    await posting
