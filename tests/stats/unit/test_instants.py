"""What counts as a point in time, and how one is written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dmp_stats.domain.instants import format_instant, minute_of, parse_instant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-10T21:10:00Z", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T21:10:00z", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10t21:10:00Z", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T22:10:00+01:00", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T22:10:00+0100", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T22:10:00+01", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T15:40:00-05:30", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T21:10Z", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("20260210T211000Z", datetime(2026, 2, 10, 21, 10, tzinfo=UTC)),
        ("2026-02-10T21:10:00.5Z", datetime(2026, 2, 10, 21, 10, 0, 500_000, tzinfo=UTC)),
        ("2026-02-10T21:10:00,123456789Z", datetime(2026, 2, 10, 21, 10, 0, 123_456, tzinfo=UTC)),
        ("2026-02-10T24:00:00Z", datetime(2026, 2, 11, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_iso_8601_with_an_offset_is_read(text: str, expected: datetime) -> None:
    assert parse_instant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-10",
        "2026-02-10T21:10:00",
        "2026-02-10 21:10:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-10T25:00:00Z",
        "2026-02-10T24:00:01Z",
        "2026-02-10T21:60:00Z",
        "2026-02-10T21:10:61Z",
        "2026-02-10T21:10:00+24:00",
        "2026-02-10T21:10:00+01:60",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
        "1770757800",
        "٢٠٢٦-02-10T21:10:00Z",
        "2026-02-10T21:10:00Z\n",
        "now",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert parse_instant(text) is None


def test_a_fraction_is_written_only_if_there_is_one() -> None:
    assert format_instant(datetime(2026, 2, 10, 21, 10, tzinfo=UTC)) == "2026-02-10T21:10:00Z"
    assert format_instant(datetime(2026, 2, 10, 21, 10, 0, 500_000, tzinfo=UTC)) == "2026-02-10T21:10:00.5Z"


def test_minutes_before_1970_are_floored_too() -> None:
    assert minute_of(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -1
