"""Groups: what waits is stored together, a lone event at once, and requests that come turn by turn join the group."""

from __future__ import annotations

import asyncio

import pytest

from dmp_ingest import gather_groups
from dmp_ingest.domain.rejections import NO_REJECTIONS
from dmp_ingest.gather_groups import Committed, Group, GroupGathering
from tests.ingest.events import accepted, campaign

_REQUESTS: set[asyncio.Future[Committed]] = set()
"""The loop keeps only weak references to what runs in it."""


@pytest.fixture
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, no group is taken because it has waited for long."""
    monkeypatch.setattr(gather_groups, "_LONGEST_GATHERING_SECONDS", 60.0)
    monkeypatch.setattr(gather_groups, "_LONGEST_BUSY_SECONDS", 60.0)


def test_a_lone_event_is_a_group_at_once() -> None:
    async def scenario() -> int:
        gathering = GroupGathering(max_queued_events=100, max_group_events=100)
        _submit(gathering)
        return _size(await gathering.take_group())

    assert asyncio.run(scenario()) == 1


@pytest.mark.usefixtures("no_hurry")
def test_requests_that_come_turn_by_turn_join_the_group() -> None:
    async def scenario() -> tuple[int, int]:
        gathering = GroupGathering(max_queued_events=100, max_group_events=100)
        taking = asyncio.create_task(gathering.take_group())
        for _ in range(8):
            _submit(gathering)
            await asyncio.sleep(0)
        group = await taking
        return _size(group), gathering.waiting_events

    size, waiting = asyncio.run(scenario())
    assert (size, waiting) == (8, 0), "each turn of the loop brought one"


def test_a_group_is_taken_although_requests_never_cease_to_come() -> None:
    async def scenario() -> int:
        gathering = GroupGathering(max_queued_events=1_000_000, max_group_events=1_000_000)
        taking = asyncio.create_task(gathering.take_group())
        while not taking.done():
            _submit(gathering)
            await asyncio.sleep(0)
        return _size(taking.result())

    assert 1 <= asyncio.run(scenario()) <= 600


@pytest.mark.usefixtures("no_hurry")
def test_a_group_waits_until_as_many_events_wait_as_are_under_way() -> None:
    async def scenario() -> list[int]:
        gathering = GroupGathering(max_queued_events=100, max_group_events=100)
        _submit(gathering, events=3)
        first = await gathering.take_group()
        _submit(gathering)
        _submit(gathering, events=2)
        second = await gathering.take_group()
        gathering.end_group(first)
        gathering.end_group(second)
        return [_size(first), _size(second)]

    assert asyncio.run(scenario()) == [3, 3]


def test_two_committers_do_not_take_one_group() -> None:
    async def scenario() -> list[int]:
        gathering = GroupGathering(max_queued_events=100, max_group_events=100)
        taking = [asyncio.create_task(gathering.take_group()) for _ in range(2)]
        await asyncio.sleep(0)
        _submit(gathering)
        done, waiting = await asyncio.wait(taking, return_when=asyncio.FIRST_COMPLETED)
        first = done.pop().result()
        _submit(gathering, events=2)
        second = await waiting.pop()
        return [_size(first), _size(second)]

    assert asyncio.run(scenario()) == [1, 2]


def _submit(gathering: GroupGathering, *, events: int = 1) -> None:
    """Has a request come in the next turn of the loop. Nobody waits for its answer."""
    sent = [accepted(campaign(event_id=str(number))) for number in range(events)]
    _REQUESTS.add(asyncio.ensure_future(gathering.submit(sent, rejected=NO_REJECTIONS, size_bytes=100)))


def _size(group: Group) -> int:
    return sum(len(submission.events) for submission in group)
