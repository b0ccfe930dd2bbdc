"""Hand-over to consumers that refuse, hang, or come back: nothing is lost, nothing waits for them."""

from __future__ import annotations

import asyncio
import time
from typing import LiteralString

import psycopg

from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event


def _waiting(ingest: Ingest) -> int:
    return _count(ingest, "SELECT count(*) FROM outbox")


def _stored(ingest: Ingest) -> int:
    return _count(ingest, "SELECT count(*) FROM event")


def _count(ingest: Ingest, query: LiteralString) -> int:
    with psycopg.connect(ingest.database_url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


async def test_an_acknowledged_batch_leaves_the_outbox(ingest: Ingest) -> None:
    await ingest.post(campaign_event("a"))
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=15)


async def test_events_are_taken_while_a_consumer_refuses_and_reach_it_once_it_is_back(ingest: Ingest) -> None:
    ingest.consumers.stats.refusing = True
    status, answer = await ingest.post([campaign_event("a"), campaign_event("b")])
    assert (status, answer["accepted"], answer["applied"]) == (202, 2, False)
    assert _waiting(ingest) == 1
    _, again = await ingest.post(campaign_event("a"))
    assert again["applied"] is False
    with psycopg.connect(ingest.database_url, autocommit=True) as connection:
        connection.execute("UPDATE outbox SET deliver_after = now()")
    ingest.consumers.stats.refusing = False
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=15)
    assert ingest.consumers.stats.event_ids == ["a", "b"]
    assert ingest.consumers.identity.event_ids == ["a", "b"]
    _, at_last = await ingest.post(campaign_event("a"))
    assert (at_last["duplicates"], at_last["applied"]) == (1, True)


async def test_a_consumer_that_hangs_holds_nobody_up_for_long(ingest: Ingest) -> None:
    ingest.consumers.identity.hanging = True
    started = time.monotonic()
    first = await ingest.post(campaign_event("first"))
    assert first[1]["applied"] is False
    answers = await asyncio.gather(*(ingest.post(campaign_event(f"e{n}")) for n in range(50)))
    assert all(answer["accepted"] == 1 for _, answer in answers)
    assert time.monotonic() - started < 4
    assert len(ingest.consumers.stats.event_ids) == 51


async def test_a_batch_delivered_twice_changes_nothing(ingest: Ingest) -> None:
    ingest.consumers.identity.refusing = True
    await ingest.post(campaign_event("a"))
    with psycopg.connect(ingest.database_url, autocommit=True) as connection:
        connection.execute("UPDATE outbox SET stats_applied = false, deliver_after = now()")
    ingest.consumers.identity.refusing = False
    await eventually(lambda: _waiting(ingest) == 0, within_seconds=15)
    assert ingest.consumers.stats.event_ids == ["a"]
    assert ingest.consumers.identity.event_ids == ["a"]


async def test_a_lone_event_is_stored_while_others_wait_for_a_slow_consumer(ingest: Ingest) -> None:
    ingest.consumers.stats.hanging = True
    many = asyncio.ensure_future(ingest.post([campaign_event(f"many-{number}") for number in range(40)]))
    await eventually(lambda: _stored(ingest) == 40, within_seconds=15)
    one = asyncio.ensure_future(ingest.post(campaign_event("one")))
    await eventually(lambda: _stored(ingest) == 41, within_seconds=15)
    assert not many.done()
    assert not one.done()
    assert [answer["applied"] for _, answer in await asyncio.gather(many, one)] == [False, False]
