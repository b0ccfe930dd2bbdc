"""The contract of a publisher of domain events, kept by every one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
import pytest_asyncio
import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dmp_chassis.domain_events import DomainEvent, InMemoryPublisher, Publisher, RedisStreamPublisher

MakePublisher = Callable[[int], Publisher]


@pytest_asyncio.fixture(params=["memory", "redis, RESP2, bytes", "redis, RESP3, text"])
async def make_publisher(request: pytest.FixtureRequest) -> AsyncIterator[MakePublisher]:
    """A function that makes a publisher with this bound; all that it makes share one stream."""
    if request.param == "memory":
        made: list[InMemoryPublisher] = []

        def in_memory(maxlen: int) -> Publisher:
            made.append(made[0] if made else InMemoryPublisher(maxlen))
            return made[-1]

        yield in_memory
        return
    url = request.getfixturevalue("redis_url")
    resp3 = "RESP3" in request.param
    async with Redis.from_url(url, protocol=3 if resp3 else 2, decode_responses=resp3, socket_timeout=0.5) as client:
        yield lambda maxlen: RedisStreamPublisher(client, maxlen=maxlen)


@pytest.fixture
def publisher(make_publisher: MakePublisher) -> Publisher:
    return make_publisher(1_000)


def event(number: int) -> DomainEvent:
    return DomainEvent(kind="ThingHappened", payload={"number": number})


async def test_an_event_is_read_as_it_was_published(publisher: Publisher) -> None:
    published = DomainEvent(
        kind="ProfilesMerged",
        occurred_at=datetime(2026, 2, 10, 21, 10, 0, 123456, tzinfo=UTC),
        payload={"text": "ü\u0000\n", "big": 10**20, "nested": {"list": [1, 2.5, None, True]}},
    )
    await publisher.publish([published])
    events, _ = await publisher.read(None, 10)
    assert events == [published]


async def test_events_are_read_in_order_page_by_page_from_cursor_to_cursor(publisher: Publisher) -> None:
    published = [event(number) for number in range(25)]
    await publisher.publish(published[:20])
    await publisher.publish(published[20:])
    cursor = None
    seen = []
    sizes = []
    while True:
        events, cursor = await publisher.read(cursor, 10)
        if not events:
            break
        sizes.append(len(events))
        seen.extend(events)
    assert seen == published
    assert sizes == [10, 10, 5]


async def test_a_reader_resumes_where_its_cursor_points(publisher: Publisher) -> None:
    await publisher.publish([event(1), event(2)])
    _, cursor = await publisher.read(None, 1)
    third = event(3)
    await publisher.publish([third])
    events, _ = await publisher.read(cursor, 10)
    assert [each.payload["number"] for each in events] == [2, 3]


async def test_an_empty_stream_gives_nothing_and_a_cursor_that_gets_what_comes(publisher: Publisher) -> None:
    events, cursor = await publisher.read(None, 10)
    assert events == []
    await publisher.publish([event(1)])
    events, end = await publisher.read(cursor, 10)
    assert [each.payload["number"] for each in events] == [1]
    assert await publisher.read(end, 10) == ([], end)


async def test_publishing_nothing_does_nothing(publisher: Publisher) -> None:
    await publisher.publish([])
    assert (await publisher.read(None, 10))[0] == []


async def test_an_event_published_twice_is_read_twice_with_one_id(publisher: Publisher) -> None:
    twice = event(1)
    await publisher.publish([twice])
    await publisher.publish([twice])
    events, _ = await publisher.read(None, 10)
    assert events == [twice, twice]


async def test_a_waiting_reader_gets_an_event_when_it_comes(publisher: Publisher) -> None:
    _, cursor = await publisher.read(None, 10)
    waiting = asyncio.ensure_future(publisher.read(cursor, 10, 20.0))
    await asyncio.wait({waiting}, timeout=0.7)
    assert not waiting.done()
    await publisher.publish([event(1)])
    published = time.monotonic()
    events, _ = await waiting
    assert [each.payload["number"] for each in events] == [1]
    assert time.monotonic() - published < 1


async def test_a_wait_ends_after_its_time(publisher: Publisher) -> None:
    started = time.monotonic()
    events, _ = await publisher.read(None, 10, 0.2)
    assert events == []
    assert 0.19 <= time.monotonic() - started < 2


async def test_a_wait_that_is_cancelled_leaves_the_publisher_usable(publisher: Publisher) -> None:
    waiting = asyncio.ensure_future(publisher.read(None, 10, 20.0))
    await asyncio.wait({waiting}, timeout=0.05)
    waiting.cancel()
    await asyncio.wait({waiting})
    await publisher.publish([event(1)])
    assert len((await publisher.read(None, 10))[0]) == 1


async def test_a_full_stream_drops_its_oldest_events(make_publisher: MakePublisher) -> None:
    bounded = make_publisher(100)
    first = event(-1)
    await bounded.publish([first])
    _, cursor = await bounded.read(None, 10)
    for start in range(0, 1_000, 100):
        await bounded.publish([event(number) for number in range(start, start + 100)])
    events, _ = await bounded.read(None, 2_000)
    numbers = [each.payload["number"] for each in events]
    assert 100 <= len(numbers) < 500
    assert numbers == list(range(1_000 - len(numbers), 1_000))
    after_cursor, _ = await bounded.read(cursor, 2_000)
    assert after_cursor == events


async def test_a_redis_that_is_away_raises() -> None:
    async with Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(redis.exceptions.ConnectionError):
            await RedisStreamPublisher(client).publish([event(1)])
