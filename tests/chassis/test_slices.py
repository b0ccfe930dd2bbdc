"""Slices of long work take about as long as they should, whatever a row costs, and give way to others."""

from __future__ import annotations

import pytest

from dmp_chassis.slices import Slices


@pytest.mark.parametrize(("row_us", "rows"), [(1, 5_000), (20, 2_500), (50, 1_000), (1_000, 500)])
def test_slices_come_to_take_as_long_as_they_should_within_bounds(row_us: float, rows: int) -> None:
    slices = Slices(target_seconds=0.05, most_rows=5_000)
    for _ in range(20):
        slices.took(slices.rows, slices.rows * row_us / 1e6)
    assert slices.rows == pytest.approx(rows, rel=0.01)


def test_a_slice_that_was_not_full_does_not_make_the_next_one_larger() -> None:
    slices = Slices(first_rows=1_000)
    slices.took(10, 0.001)
    assert slices.rows == 1_000


def test_a_slow_slice_halves_the_next_one_at_most() -> None:
    slices = Slices(first_rows=4_000)
    slices.took(4_000, 60.0)
    assert slices.rows == 2_000


def test_pauses_are_a_tenth_of_the_work_when_nobody_else_works_and_as_long_as_it_when_rows_cost_twice_as_much() -> None:
    slices = Slices()
    assert slices.took(1_000, 0.02) == pytest.approx(0.002)
    assert slices.took(1_000, 0.03) == pytest.approx(0.015)
    assert slices.took(1_000, 0.04) == pytest.approx(0.04)
    assert slices.took(1_000, 0.4) == pytest.approx(0.4)
    assert slices.took(0, 0.01) == 0.0
