"""Large requests: which are, what they may hold together, and that they work one at a time."""

from __future__ import annotations

import asyncio

import pytest

from dmp_ingest.domain.errors import OverloadedError
from dmp_ingest.large_requests import LargeRequests, is_large, weight_of


@pytest.mark.parametrize(
    ("events", "size_bytes", "weight"),
    [
        (1, 100, 0),
        (100, 100 * 1024, 0),
        (101, 100, 101),
        (1, 101 * 1024, 101),
        (5000, 8 << 20, 8192),
        (10_000, 81, 10_000),
    ],
)
def test_a_request_weighs_its_events_or_its_kibibytes_and_a_small_one_nothing(
    events: int, size_bytes: int, weight: int
) -> None:
    assert weight_of(events=events, size_bytes=size_bytes) == weight
    assert is_large(events) == (events > 100)


def test_what_large_requests_hold_together_has_a_bound_and_small_ones_are_never_refused() -> None:
    large = LargeRequests(most_events=20_000)
    with large.share() as first, large.share() as second, large.share() as third:
        first.hold(weight_of(events=10_000, size_bytes=81))
        second.hold(weight_of(events=10_000, size_bytes=81))
        with pytest.raises(OverloadedError):
            third.hold(weight_of(events=101, size_bytes=81))
        third.hold(weight_of(events=100, size_bytes=81))
        second.hold(weight_of(events=0, size_bytes=5 << 20))
        third.hold(weight_of(events=4000, size_bytes=81))


def test_large_requests_work_one_at_a_time_and_small_ones_do_not_wait() -> None:
    async def scenario() -> list[str]:
        large, happened, release = LargeRequests(most_events=1), list[str](), asyncio.Event()

        async def work(name: str, events: int) -> None:
            async with large.turn(events):
                happened.append(f"{name} begins")
                if name == "first":
                    await release.wait()
                happened.append(f"{name} ends")

        first = asyncio.create_task(work("first", 101))
        second = asyncio.create_task(work("second", 10_000))
        small = asyncio.create_task(work("small", 100))
        await small
        release.set()
        await asyncio.gather(first, second)
        return happened

    assert asyncio.run(scenario()) == [
        "first begins",
        "small begins",
        "small ends",
        "first ends",
        "second begins",
        "second ends",
    ]
