"""Which batches share a transaction, and that each keeps its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.apply_batch import AppliedBatch
from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.domain.joined_batches import joinable
from dmp_identity.join_batches import BatchJoiner


@pytest.mark.parametrize(
    ("waiting", "count"),
    [([], 0), ([1], 1), ([4_000], 1), ([20] * 10, 10), ([1] * 100, 64), ([400, 400, 400], 2), ([1, 4_000], 1)],
)
def test_small_batches_are_joined_up_to_a_thousand_events(waiting: list[int], count: int) -> None:
    assert joinable(waiting) == count


def _batch(number: int, events: int = 1) -> EventBatch:
    empty: list[str] = [""] * events
    return EventBatch(
        batch_id=uuid7_text(),
        accepted_at_us=number,
        event_ids=[f"{number}-{event}" for event in range(events)],
        occurred_at_us=[0] * events,
        types=empty,
        sources=empty,
        identifiers=[[] for _ in range(events)],
    )


class _Database:
    """Notes which batches come together; refuses whatever has the number that is refused."""

    def __init__(self, refused: int = -1) -> None:
        self.groups: list[list[int]] = []
        self.may_go_on = asyncio.Event()
        self._refused = refused

    async def apply(self, batches: Sequence[EventBatch]) -> list[AppliedBatch]:
        numbers = [batch.accepted_at_us for batch in batches]
        self.groups.append(numbers)
        await self.may_go_on.wait()
        if self._refused in numbers:
            raise ValueError("refused")
        return [AppliedBatch(already_applied=False, internal_user_ids=[str(number)]) for number in numbers]


async def _all(joiner: BatchJoiner, database: _Database, numbers: Sequence[int]) -> list[AppliedBatch | BaseException]:
    calls = [asyncio.ensure_future(joiner.apply(_batch(number))) for number in numbers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    database.may_go_on.set()
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_what_waits_is_applied_together_in_the_order_in_which_it_was_accepted() -> None:
    database = _Database()
    joiner = BatchJoiner(database.apply, most_lanes=1)
    outcomes = await _all(joiner, database, [5, 3, 4, 1, 2])
    assert database.groups == [[1, 2, 3, 4, 5]]
    assert [outcome.internal_user_ids for outcome in outcomes if isinstance(outcome, AppliedBatch)] == [
        ["5"], ["3"], ["4"], ["1"], ["2"],
    ]  # fmt: skip


async def test_a_batch_that_is_refused_keeps_none_of_the_others_from_being_applied() -> None:
    database = _Database(refused=3)
    joiner = BatchJoiner(database.apply, most_lanes=1)
    outcomes = await _all(joiner, database, [1, 2, 3, 4])
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "AppliedBatch", "AppliedBatch", "ValueError", "AppliedBatch",
    ]  # fmt: skip
    assert database.groups == [[1, 2, 3, 4], [1], [2], [3], [4]]


async def test_a_caller_who_gives_up_takes_nothing_from_the_others() -> None:
    database = _Database()
    joiner = BatchJoiner(database.apply, most_lanes=1)
    given_up = asyncio.ensure_future(joiner.apply(_batch(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(joiner.apply(_batch(number))) for number in (2, 3)]
    await asyncio.sleep(0)
    given_up.cancel()
    database.may_go_on.set()
    assert [outcome.internal_user_ids for outcome in await asyncio.gather(*others)] == [["2"], ["3"]]
    assert database.groups == [[1], [2, 3]]


async def test_closing_ends_what_waits() -> None:
    database = _Database()
    joiner = BatchJoiner(database.apply, most_lanes=1)
    call = asyncio.ensure_future(joiner.apply(_batch(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await joiner.close()
    with pytest.raises(asyncio.CancelledError):
        await call
