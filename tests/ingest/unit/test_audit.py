"""How an audit compares the log with what was counted: given three readings, which cells differ, which are open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.audit import NOTHING, CellKey, CellSum, Compared, MinuteSum, compare

CELL = CellKey("camp", 1, "click")
ONE, TWO = CellSum(1, bytes(15) + b"\x01"), CellSum(2, bytes(15) + b"\x03")
OTHER_EVENT = CellSum(1, bytes(15) + b"\x02")


@pytest.mark.parametrize(
    ("before", "logged", "after", "on_its_way", "outcome"),
    [
        pytest.param(ONE, ONE, ONE, False, "equal", id="counted as logged"),
        pytest.param(ONE, ONE, ONE, True, "equal", id="equal, so what is on its way is counted already"),
        pytest.param(ONE, TWO, ONE, False, "differing", id="an event was not counted"),
        pytest.param(TWO, ONE, TWO, False, "differing", id="an event was counted twice"),
        pytest.param(None, ONE, None, False, "differing", id="nothing was counted"),
        pytest.param(ONE, None, ONE, False, "differing", id="counted, and not in the log"),
        pytest.param(OTHER_EVENT, ONE, OTHER_EVENT, False, "differing", id="as many events, but others"),
        pytest.param(ONE, TWO, ONE, True, "open", id="the missing event may be on its way"),
        pytest.param(ONE, TWO, TWO, False, "open", id="an event was counted between the readings"),
        pytest.param(ONE, ONE, TWO, False, "open", id="an event was logged and counted after the log was read"),
        pytest.param(None, ONE, ONE, False, "open", id="the first event was counted in between"),
        pytest.param(ONE, ONE, None, False, "open", id="the cell was taken away in between"),
    ],
)
def test_what_three_readings_of_a_cell_say(
    before: CellSum | None, logged: CellSum | None, after: CellSum | None, on_its_way: bool, outcome: str
) -> None:
    def reading(cell: CellSum | None) -> dict[CellKey, CellSum]:
        return {} if cell is None else {CELL: cell}

    compared = compare(
        before=reading(before),
        logged=reading(logged),
        on_their_way={CELL} if on_its_way else set(),
        after=reading(after),
    )
    assert compared == Compared(
        differing=[CELL] if outcome == "differing" else [], open={CELL} if outcome == "open" else set()
    )


def test_a_cell_that_only_one_reading_of_the_counts_has_is_open() -> None:
    """It was counted, or taken away, between the readings, and the log does not have it."""
    one = MinuteSum(1, 7)
    empty: dict[int, MinuteSum] = {}
    for before, after in (({4: one}, empty), (empty, {4: one})):
        compared = compare(before=before, logged=empty, on_their_way=(), after=after)
        assert compared == Compared(differing=[], open={4})


def test_each_cell_is_judged_by_itself_and_differences_come_in_order() -> None:
    one, two = MinuteSum(1, 7), MinuteSum(2, 5)
    logged = dict.fromkeys((5, 3, 9, 1), one)
    counted = {1: one, 3: two, 5: two, 9: two}
    compared = compare(before=counted, logged=logged, on_their_way={9}, after=counted)
    assert compared == Compared(differing=[3, 5], open={9})


@given(st.dictionaries(st.integers(0, 9), st.just(MinuteSum(1, 7))), st.sets(st.integers(0, 9)))
def test_equal_readings_differ_nowhere(cells: dict[int, MinuteSum], on_their_way: set[int]) -> None:
    nowhere: Compared[int] = Compared(differing=[], open=set())
    assert compare(before=cells, logged=cells, on_their_way=on_their_way, after=cells) == nowhere


def test_a_cell_without_events_has_no_events_and_an_empty_digest() -> None:
    assert CellSum(events=0, digest=bytes(16)) == NOTHING
