"""The outbox: with the transaction or not at all, and then at least once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from redis.asyncio import Redis

from dmp_chassis.database import Database
from dmp_chassis.domain_events import (
    DomainEvent,
    InMemoryPublisher,
    RedisStreamPublisher,
    add,
    domain_event_outbox,
    drain,
    drain_loop,
)
from tests.conditions import eventually

METADATA = sa.MetaData()
OUTBOX = domain_event_outbox(METADATA)


class FragilePublisher(InMemoryPublisher):
    """A publisher whose connection breaks: before anything got through, or after half of a batch did."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = ""
        self.attempts = 0

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        self.attempts += 1
        if self.broken == "half way":
            await super().publish(events[: len(events) // 2])
        if self.broken:
            raise ConnectionResetError(self.broken)
        await super().publish(events)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with an empty outbox."""
    opened = Database.connect(database_url, pool_size=5, application_name="chassis test")
    async with opened.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield opened
    await opened.close()


async def store(database: Database, numbers: Sequence[int], wake: asyncio.Event | None = None) -> list[DomainEvent]:
    events = [DomainEvent(kind="ThingHappened", payload={"number": number}) for number in numbers]
    async with database.begin() as connection:
        await add(connection, events, wake=wake)
    return events


async def waiting(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(OUTBOX))).scalar_one())


async def published(publisher: InMemoryPublisher) -> list[DomainEvent]:
    events, _ = await publisher.read(None, 100_000)
    return events


async def test_events_of_a_transaction_are_published_once_it_is_committed(database: Database) -> None:
    publisher = InMemoryPublisher()
    async with database.begin() as connection:
        await add(connection, [DomainEvent(kind="ThingHappened", payload={})])
        assert await drain(database, publisher) == 0
    assert await drain(database, publisher) == 1
    assert await waiting(database) == 0


async def test_events_of_a_transaction_that_is_rolled_back_are_never_published(database: Database) -> None:
    wake = asyncio.Event()

    async def add_and_fail() -> None:
        async with database.begin() as connection:
            await add(connection, [DomainEvent(kind="ThingHappened", payload={})], wake=wake)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await add_and_fail()
    assert await drain(database, InMemoryPublisher()) == 0
    assert not wake.is_set()


async def test_events_arrive_as_they_were_added_in_their_order(database: Database, redis_url: str) -> None:
    stored = await store(database, range(30))
    async with Redis.from_url(redis_url) as client:
        publisher = RedisStreamPublisher(client)
        assert [await drain(database, publisher, limit=20) for _ in range(3)] == [20, 10, 0]
        events, _ = await publisher.read(None, 100)
    assert events == stored


@pytest.mark.parametrize("broken", ["at once", "half way"])
async def test_events_stay_until_they_have_been_published(database: Database, broken: str) -> None:
    stored = await store(database, range(10))
    publisher = FragilePublisher()
    publisher.broken = broken
    with pytest.raises(ConnectionResetError):
        await drain(database, publisher)
    assert await waiting(database) == 10
    publisher.broken = ""
    assert await drain(database, publisher) == 10
    assert await waiting(database) == 0
    got = await published(publisher)
    assert got[-10:] == stored
    assert {each.id for each in got} == {each.id for each in stored}


async def test_events_stay_when_the_drain_is_cancelled_after_it_has_published(database: Database) -> None:
    """The process may end between publishing and the commit: then they are published again, not lost."""
    stored = await store(database, range(3))
    got_them = asyncio.Event()

    class Slow(InMemoryPublisher):
        async def publish(self, events: Sequence[DomainEvent]) -> None:
            await super().publish(events)
            got_them.set()
            await asyncio.Event().wait()

    draining = asyncio.ensure_future(drain(database, Slow()))
    await got_them.wait()
    draining.cancel()
    await asyncio.wait({draining})
    publisher = InMemoryPublisher()
    assert await drain(database, publisher) == 3
    assert await published(publisher) == stored


async def test_parallel_drains_pass_over_each_others_rows(database: Database) -> None:
    stored = await store(database, range(200))
    publisher = InMemoryPublisher()

    async def drain_all() -> None:
        while await drain(database, publisher, limit=7):
            pass

    await asyncio.gather(*(drain_all() for _ in range(4)))
    await drain_all()
    got = await published(publisher)
    assert len(got) == 200
    assert {each.id for each in got} == {each.id for each in stored}


async def test_a_drain_that_hangs_holds_up_no_other(database: Database) -> None:
    await store(database, range(10))
    got_them = asyncio.Event()

    class Hanging(InMemoryPublisher):
        async def publish(self, events: Sequence[DomainEvent]) -> None:
            got_them.set()
            await asyncio.Event().wait()

    hanging = asyncio.ensure_future(drain(database, Hanging(), limit=6))
    await got_them.wait()
    publisher = InMemoryPublisher()
    assert await drain(database, publisher) == 4
    assert not hanging.done()
    await cancel(hanging)
    assert await drain(database, publisher) == 6


async def test_the_loop_wakes_up_for_what_this_process_adds(database: Database) -> None:
    wake, publisher = asyncio.Event(), InMemoryPublisher()
    loop = asyncio.ensure_future(drain_loop(database, publisher, wake=wake, interval_seconds=600, rest_seconds=0.01))
    for number in range(5):
        started = time.monotonic()
        await store(database, [number], wake)

        async def has_come(count: int = number + 1) -> bool:
            return len(await published(publisher)) == count

        await eventually(has_come)
        assert time.monotonic() - started < 1
    await cancel(loop)


async def test_events_that_are_committed_one_by_one_are_published_together(database: Database) -> None:
    """Each publishing is a transaction and a round trip: so it happens a few times a second, not for each commit."""
    wake = asyncio.Event()
    stored: list[DomainEvent] = []

    published_at: list[float] = []

    class Watched(InMemoryPublisher):
        async def publish(self, events: Sequence[DomainEvent]) -> None:
            published_at.append(time.monotonic())
            await super().publish(events)

    publisher = Watched()
    loop = asyncio.ensure_future(drain_loop(database, publisher, wake=wake, interval_seconds=600, rest_seconds=0.1))

    async def three_have_been_published() -> bool:
        stored.extend(await store(database, [len(stored)], wake))
        return len(published_at) == 3

    async def all_have_come() -> bool:
        return len(await published(publisher)) == len(stored)

    await eventually(three_have_been_published)
    await eventually(all_have_come)
    await cancel(loop)
    assert await published(publisher) == stored
    assert min(later - earlier for earlier, later in pairwise(published_at)) > 0.09
    assert len(published_at) < len(stored)


async def test_an_event_is_stored_as_it_is(database: Database) -> None:
    event = DomainEvent(
        kind='"ThingHappened"',
        payload={"text": 'ä\n\\"😀', "number": -1.5, "large": 2**53 + 1, "list": [None, True, {"deep": {}}], "": []},
        occurred_at=datetime(2026, 3, 29, 2, 59, 59, 999_999, tzinfo=UTC),
    )
    async with database.begin() as connection:
        await add(connection, [event])
    publisher = InMemoryPublisher()
    await drain(database, publisher)
    assert await published(publisher) == [event]


async def test_the_loop_finds_what_other_processes_added(database: Database) -> None:
    publisher = InMemoryPublisher()
    loop = asyncio.ensure_future(drain_loop(database, publisher, wake=asyncio.Event(), interval_seconds=0.05))
    await store(database, range(3))

    async def has_come() -> bool:
        return len(await published(publisher)) == 3

    await eventually(has_come)
    await cancel(loop)


async def test_the_loop_outlives_a_broken_publisher_without_hammering_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    wake, publisher = asyncio.Event(), FragilePublisher()
    publisher.broken = "at once"
    stored = await store(database, range(3))
    loop = asyncio.ensure_future(drain_loop(database, publisher, wake=wake, interval_seconds=0.01))

    async def was_tried_three_times() -> bool:
        wake.set()
        return publisher.attempts >= 3

    started = time.monotonic()
    await eventually(was_tried_three_times)
    assert time.monotonic() - started > 0.25
    assert await waiting(database) == 3
    publisher.broken = ""

    async def is_empty() -> bool:
        return await waiting(database) == 0

    await eventually(is_empty)
    await cancel(loop)
    assert await published(publisher) == stored
    complaints = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.message for record in complaints] == ["domain events wait in the outbox"]


async def test_a_batch_that_is_full_is_followed_by_the_next_one_at_once(database: Database) -> None:
    publisher = InMemoryPublisher()
    await store(database, range(50))
    loop = asyncio.ensure_future(drain_loop(database, publisher, wake=asyncio.Event(), limit=10, interval_seconds=600))

    async def is_empty() -> bool:
        return await waiting(database) == 0

    await eventually(is_empty)
    await cancel(loop)
    assert len(await published(publisher)) == 50


async def cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
