"""A long range is walked in parts that are as long as they are cheap, and no longer than an answer has time."""

from __future__ import annotations

import pytest

from dmp_ingest.audit_pages import OneAtATime, walk
from dmp_ingest.domain.errors import AuditBusyError, MinuteTooLargeError, RangeTooLargeError

_YEAR = 365 * 24 * 60


class Parts:
    """Notes the parts. A part may have `largest` minutes; each minute has so many `cells`."""

    def __init__(self, *, largest: int = 10**9, cells: int = 0) -> None:
        self.done: list[tuple[int, int]] = []
        self._largest = largest
        self._cells = cells

    async def __call__(self, first: int, last: int) -> int:
        if last - first + 1 > self._largest:
            raise RangeTooLargeError
        self.done.append((first, last))
        return self._cells * (last - first + 1)


async def test_an_empty_year_is_walked_at_once_without_a_gap() -> None:
    parts = Parts()
    assert await walk(0, _YEAR, parts) is None
    assert [first for first, _ in parts.done[1:]] == [last + 1 for _, last in parts.done[:-1]]
    assert (parts.done[0], parts.done[-1][1]) == ((0, 59), _YEAR)
    assert max(last - first + 1 for first, last in parts.done) == 32 * 24 * 60


async def test_a_part_with_many_cells_does_not_grow() -> None:
    parts = Parts(cells=1_000)
    assert await walk(0, 599, parts) is None
    assert {last - first + 1 for first, last in parts.done} == {60}


async def test_a_part_that_is_too_large_is_halved() -> None:
    parts = Parts(largest=7)
    token: int | None = 0
    while token is not None:
        token = await walk(token, 99, parts)
    assert [first for first, _ in parts.done[1:]] == [last + 1 for _, last in parts.done[:-1]]
    assert parts.done[-1][1] == 99


async def test_a_minute_that_is_too_large_is_named() -> None:
    with pytest.raises(MinuteTooLargeError) as raised:
        await walk(30, 40, Parts(largest=0))
    assert raised.value.minute == 30


async def test_when_the_time_is_over_the_next_minute_is_named() -> None:
    parts = Parts()
    going_on = await walk(0, 1_000, parts, answer_seconds=-1.0)
    assert going_on == 0
    assert parts.done == []


async def test_one_at_a_time() -> None:
    gate = OneAtATime()
    with gate, pytest.raises(AuditBusyError), gate:
        raise AssertionError("a second one was let in")
    with gate:
        pass
