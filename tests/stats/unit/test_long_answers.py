"""Turns of long answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dmp_stats.api.long_answers import LONGEST_BYTES, LongAnswers
from dmp_stats.domain.errors import BusyError
from dmp_stats.domain.stats_query import check_stats_query
from dmp_stats.query_stats import may_be_long

START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_two_are_made_at_a_time_eight_wait_and_more_are_refused() -> None:
    answers, end = LongAnswers(), asyncio.Event()
    made = 0

    async def answer(*, is_long: bool = True) -> None:
        nonlocal made
        async with answers.turn(is_long=is_long):
            made += 1
            await end.wait()

    waiting = [asyncio.ensure_future(answer()) for _ in range(10)]
    await asyncio.sleep(0)
    assert made == 2
    with pytest.raises(BusyError):
        await answer()
    short = asyncio.ensure_future(answer(is_long=False))
    await asyncio.sleep(0)
    assert made == 3
    end.set()
    await asyncio.gather(*waiting, short)
    assert made == 11


async def test_who_gives_up_waiting_leaves_the_place_to_others() -> None:
    answers, end = LongAnswers(), asyncio.Event()

    async def answer() -> None:
        async with answers.turn(is_long=True):
            await end.wait()

    waiting = [asyncio.ensure_future(answer()) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[-1].cancel()
    waiting[0].cancel()
    await asyncio.gather(waiting[-1], waiting[0], return_exceptions=True)
    end.set()
    await asyncio.gather(*waiting[1:-1], answer())


def test_what_is_not_read_yet_has_a_bound_and_long_answers_are_refused_before_they_are_made() -> None:
    answers = LongAnswers(most_unread_bytes=3 * LONGEST_BYTES)
    with answers.room(is_long=True), answers.room(is_long=True) as second, answers.room(is_long=True):
        with pytest.raises(BusyError), answers.room(is_long=True):
            pytest.fail("there is no room")
        with answers.room(is_long=False) as short:
            short.hold(0)
            with pytest.raises(BusyError):
                short.hold(1)
        second.hold(LONGEST_BYTES // 2)
        with answers.room(is_long=False) as short:
            short.hold(LONGEST_BYTES // 2)
            with pytest.raises(BusyError), answers.room(is_long=True):
                pytest.fail("there is no room")
    with answers.room(is_long=True), answers.room(is_long=True), answers.room(is_long=True):
        pass


async def test_pieces_are_made_when_the_one_before_is_taken_and_others_have_their_turn() -> None:
    answers, made = LongAnswers(), 0

    def pieces() -> Iterator[bytes]:
        nonlocal made
        for made in range(1, 4):  # noqa: B007
            yield b"x"

    written = answers.written(pieces(), is_long=True)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(others())
    seen = []
    async for _ in written:
        seen.append((made, turns > 0))
        turns = 0
    beside.cancel()
    assert seen == [(1, True), (2, True), (3, True)]


@pytest.mark.parametrize(
    ("span", "granularity", "group_by", "expected"),
    [
        (timedelta(hours=1), "minute", "creative_id", False),
        (timedelta(days=31), "minute", "", False),
        (timedelta(days=40), "minute", "", True),
        (timedelta(days=2), "minute", "source", True),
        (timedelta(days=366), "hour", "source", True),
        (timedelta(days=366), "day", "source", False),
    ],
)
def test_a_question_is_long_by_the_points_it_can_have(
    span: timedelta, granularity: str, group_by: str, expected: bool
) -> None:
    query = check_stats_query(
        campaign_id="c",
        start=START.isoformat(),
        end=(START + span).isoformat(),
        granularity=granularity,
        group_by=group_by,
    )
    assert may_be_long(query) is expected
