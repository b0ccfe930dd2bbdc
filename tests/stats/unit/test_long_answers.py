"""Turns of long answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from dmp_stats.api.long_answers import LongAnswers
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
