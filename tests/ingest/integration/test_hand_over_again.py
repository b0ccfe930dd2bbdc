"""Batches that are made again from the log: the same ids, the same contents, to whom they are wanted for."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.database import Database
from dmp_chassis.settings import SettingsError
from dmp_ingest.adapters.log_batches import LogBatches
from dmp_ingest.hand_over_again import HandedOver, hand_over_again
from dmp_ingest.settings import read_hand_over_settings
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event

END_US = 1 << 55
HOUR_US = 3_600_000_000


@pytest.fixture
async def log(ingest: Ingest) -> AsyncIterator[LogBatches]:
    database = Database.connect(ingest.database_url, pool_size=2, application_name="test")
    yield LogBatches(database, counts_as={"click": 2, "impression": 1})
    await database.close()


def events_of(batch: accepted_batch_pb2.AcceptedBatch) -> dict[str, list[Any]]:
    """What a batch says of each event."""
    text = list(batch.texts)
    events = {
        event_id: [
            batch.event_keys[position * 16 : position * 16 + 16],
            batch.occurred_at_us[position],
            text[batch.types[position]],
            text[batch.sources[position]],
            text[batch.campaigns[position]],
            text[batch.creatives[position]],
            text[batch.users[position]],
            batch.counts_as[position],
        ]
        for position, event_id in enumerate(batch.event_ids)
    }
    for position, kind, value in zip(
        batch.identifier_events, batch.identifier_types, batch.identifier_values, strict=True
    ):
        events[batch.event_ids[position]].append((text[kind], text[value]))
    return events


def waiting(ingest: Ingest) -> list[tuple[bool, bool]]:
    """Who is known to have each batch in the outbox: identity, stats."""
    with psycopg.connect(ingest.database_url) as connection:
        return connection.execute("SELECT identity_applied, stats_applied FROM outbox").fetchall()


async def test_a_service_that_lost_batches_gets_them_again_as_they_were(ingest: Ingest, log: LogBatches) -> None:
    campaign = [
        campaign_event(f"event {number}", creative_id=f"c{number % 2}", user_id=f"u{number % 3}", metadata={"n": 1})
        for number in range(40)
    ]
    now = time.time()
    named = [
        {"event_type": "page_view", "timestamp": now, "source": "s", "identifiers": {"email": "a@b.c", "user_id": " 7"}}
    ]
    for body in (campaign[:1], campaign[1:], named):
        await ingest.post(body)
    stats, identity = ingest.consumers.stats, ingest.consumers.identity
    await eventually(lambda: not waiting(ingest))
    before = {batch.batch_id: batch for batch in stats.batches}
    assert len(before) == 3
    stats.batches.clear()
    calls = identity.calls
    assert await hand_over_again(log=log, to=["stats"], first_us=0, end_us=END_US) == HandedOver(batches=3, events=41)
    await eventually(lambda: len(stats.batches) == 3)
    for batch in stats.batches:
        assert batch.accepted_at_us == before[batch.batch_id].accepted_at_us
        assert events_of(batch) == events_of(before[batch.batch_id])
    assert identity.calls == calls


async def test_only_batches_of_the_range_are_handed_over_and_one_that_waits_goes_to_both(
    ingest: Ingest, log: LogBatches
) -> None:
    stats, identity = ingest.consumers.stats, ingest.consumers.identity
    await ingest.post([campaign_event("before")])
    first_us = time.time_ns() // 1000 + 1_000
    await eventually(lambda: time.time_ns() // 1000 > first_us)
    stats.refusing = True
    await ingest.post([campaign_event("after")])
    await eventually(lambda: waiting(ingest) == [(True, False)])
    identity.batches.clear()
    done = await hand_over_again(log=log, to=["identity"], first_us=first_us, end_us=END_US)
    assert (done.batches, done.events) == (1, 1)
    stats.refusing = False
    await eventually(lambda: (stats.event_ids, identity.event_ids) == (["before", "after"], ["after"]))


async def test_large_batches_come_whole(ingest: Ingest, log: LogBatches) -> None:
    for _ in range(3):
        await ingest.post([campaign_event(str(uuid.uuid4())) for _ in range(1_200)])
    with psycopg.connect(ingest.database_url) as connection:
        rows = connection.execute("SELECT batch_id, count(*) FROM event GROUP BY 1 ORDER BY 1").fetchall()
    parts = [part async for part in log.find(first_us=0, end_us=END_US)]
    assert 1 < len(parts) < len(rows)
    handed_over = [await log.hand_over(part, to=["stats"]) for part in parts]
    assert (sum(handed_over), sum(map(len, parts))) == (len(rows), 3_600)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "--consumer must be identity, stats or both"),
        ({"consumer": "everybody"}, "--consumer must be"),
        ({"from": "yesterday"}, "--from "),
        ({"from": "2026-11-27T00:00:00Z", "inbox-days": "1"}, "--from must lie within the last 1 days"),
        ({"from": "2026-10-01T00:00:00Z"}, "--from must lie within the last 30 days"),
        ({"inbox-days": "-1"}, "--inbox-days must be a whole number"),
        ({"to": "2026-11-28T11:00:00Z"}, "--to must lie after --from"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(given: dict[str, str], problem: str) -> None:
    now_us = 1_795_867_200_000_000  # 2026-11-28T12:00:00Z
    options = {"from": "2026-11-28T11:00:00Z", **({"consumer": "both"} if given else {}), **given}
    with pytest.raises(SettingsError) as raised:
        read_hand_over_settings({"DMP_INGEST_DATABASE_URL": "postgresql://x"}, options, now_us=now_us)
    assert any(line.startswith(problem) for line in raised.value.problems), raised.value.problems


def test_the_whole_of_the_past_is_handed_over_to_who_never_forgets() -> None:
    options = {"consumer": "both", "from": "2020-01-01T00:00:00Z", "inbox-days": "0"}
    settings = read_hand_over_settings({"DMP_INGEST_DATABASE_URL": "postgresql://x"}, options, now_us=END_US)
    assert (settings.consumers, settings.end_us) == (("identity", "stats"), END_US)
