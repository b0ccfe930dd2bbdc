"""Whole minutes of statistics."""

from __future__ import annotations

from datetime import UTC, datetime

from dmp_stats.domain.instants import instant_of_minute, minute_of


def test_minutes_before_1970_are_floored_too() -> None:
    assert minute_of(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -1


def test_a_minute_starts_at_its_first_second() -> None:
    assert instant_of_minute(minute_of(datetime(2026, 2, 10, 21, 10, 59, tzinfo=UTC))) == datetime(
        2026, 2, 10, 21, 10, tzinfo=UTC
    )
