"""Buckets of every zone, on the days on which clocks are changed too."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.instants import format_instant, parse_instant
from dmp_stats.domain.buckets import (
    BucketRange,
    Buckets,
    Granularity,
    bucket_of,
    buckets_between,
    ranges_of,
)
from dmp_stats.domain.instants import instant_of_minute, minute_of
from tests.stats.service import QUICK


def at(text: str) -> datetime:
    instant = parse_instant(text)
    assert instant is not None
    return instant


MINUTES = st.integers(minute_of(at("1960-01-01T00:00:00Z")), minute_of(at("2040-01-01T00:00:00Z")))


def starts(start: str, end: str, granularity: str, zone: str = "UTC") -> list[str]:
    buckets = buckets_between(at(start), at(end), Granularity(granularity), ZoneInfo(zone))
    assert buckets.end > int(buckets.starts[-1])
    return [format_instant(instant_of_minute(minute)) for minute in buckets.starts.tolist()]


def test_minutes_begin_with_the_floored_one_and_include_the_last() -> None:
    assert starts("2026-02-10T21:10:59Z", "2026-02-10T21:12:00Z", "minute") == [
        "2026-02-10T21:10:00Z",
        "2026-02-10T21:11:00Z",
        "2026-02-10T21:12:00Z",
    ]


def test_one_instant_has_one_bucket() -> None:
    for granularity in ("minute", "hour", "day"):
        assert len(starts("2026-02-10T21:10:30Z", "2026-02-10T21:10:30Z", granularity, "Asia/Kolkata")) == 1


def test_a_day_that_loses_an_hour_has_23() -> None:
    # Berlin, 29 March 2026: 02:00 becomes 03:00.
    assert starts("2026-03-28T23:00:00Z", "2026-03-30T12:00:00Z", "day", "Europe/Berlin") == [
        "2026-03-28T23:00:00Z",
        "2026-03-29T22:00:00Z",
    ]
    hours = starts("2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "hour", "Europe/Berlin")
    assert len(hours) == 23


def test_a_day_that_gains_an_hour_has_25_and_the_double_hour_is_two_buckets() -> None:
    # Berlin, 25 October 2026: 03:00 becomes 02:00.
    hours = starts("2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", "hour", "Europe/Berlin")
    assert len(hours) == 25
    assert hours[2:4] == ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]


def test_hours_of_a_zone_with_half_an_hour_begin_at_half_past() -> None:
    assert starts("2026-02-10T00:00:00Z", "2026-02-10T01:00:00Z", "hour", "Asia/Kolkata") == [
        "2026-02-09T23:30:00Z",
        "2026-02-10T00:30:00Z",
    ]


def test_a_clock_that_moves_by_half_an_hour_begins_a_bucket() -> None:
    # Lord Howe, 5 April 2026: 02:00 becomes 01:30 (15:00 UTC on the 4th).
    assert starts("2026-04-04T14:10:00Z", "2026-04-04T16:00:00Z", "hour", "Australia/Lord_Howe") == [
        "2026-04-04T14:00:00Z",
        "2026-04-04T15:00:00Z",
        "2026-04-04T15:30:00Z",
    ]


def test_a_day_begins_where_the_clock_jumps_over_midnight() -> None:
    # São Paulo, 4 November 2018: 00:00 becomes 01:00 (03:00 UTC).
    assert starts("2018-11-03T12:00:00Z", "2018-11-04T12:00:00Z", "day", "America/Sao_Paulo") == [
        "2018-11-03T03:00:00Z",
        "2018-11-04T03:00:00Z",
    ]


def test_a_day_that_a_zone_skipped_is_none() -> None:
    # Samoa had no 30 December 2011.
    assert starts("2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z", "day", "Pacific/Apia") == [
        "2011-12-29T10:00:00Z",
        "2011-12-30T10:00:00Z",
        "2011-12-31T10:00:00Z",
    ]


@pytest.mark.parametrize(
    ("granularity", "zone", "expected"),
    [
        ("day", "UTC", [(1440, "2026-02-10T00:00:00Z", "2026-02-12T00:00:00Z")]),
        ("day", "Europe/Berlin", [(60, "2026-02-09T23:00:00Z", "2026-02-12T22:00:00Z")]),
        ("hour", "Europe/Berlin", [(60, "2026-02-10T12:00:00Z", "2026-02-12T12:00:00Z")]),
        ("minute", "Europe/Berlin", [(1, "2026-02-10T12:30:00Z", "2026-02-12T12:30:00Z")]),
        ("hour", "Asia/Kolkata", [(1, "2026-02-10T12:30:00Z", "2026-02-12T13:29:00Z")]),
    ],
)
def test_the_coarsest_rows_that_fit_are_read(granularity: str, zone: str, expected: list[tuple[int, str, str]]) -> None:
    buckets = buckets_between(
        at("2026-02-10T12:30:00Z"), at("2026-02-12T12:30:30Z"), Granularity(granularity), ZoneInfo(zone)
    )
    read = [
        (s.grain, format_instant(instant_of_minute(s.first)), format_instant(instant_of_minute(s.last)))
        for s in ranges_of(buckets)
    ]
    assert read == expected


def test_days_of_a_zone_with_half_an_hour_take_only_the_cut_hours_by_the_minute() -> None:
    buckets = buckets_between(
        at("2026-02-10T12:00:00Z"), at("2026-02-12T12:00:00Z"), Granularity.DAY, ZoneInfo("Asia/Kolkata")
    )
    ranges = ranges_of(buckets)
    assert sum(s.last - s.first + 1 for s in ranges if s.grain == 1) == 30 + 60 + 60 + 30
    assert sum((s.last - s.first) // 60 + 1 for s in ranges if s.grain == 60) == 3 * 23


def minutes_of(bucket_range: BucketRange) -> range:
    return range(bucket_range.first, bucket_range.last + bucket_range.grain)


@QUICK
@given(
    start=MINUTES,
    minutes=st.integers(0, 20_000),
    granularity=st.sampled_from(list(Granularity)),
    zone=st.sampled_from(
        [
            "UTC",
            "Europe/Berlin",
            "America/St_Johns",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Monrovia",
            "America/Sao_Paulo",
            "Africa/Casablanca",
        ]
    ),
)
def test_buckets_tile_the_range_and_ranges_tile_the_buckets(
    start: int, minutes: int, granularity: Granularity, zone: str
) -> None:
    first, last = instant_of_minute(start), instant_of_minute(start + minutes)
    buckets = buckets_between(first, last, granularity, ZoneInfo(zone))
    assert (np.diff(buckets.starts) > 0).all()
    assert bucket_of(buckets, np.array([start])).tolist() == [0]
    assert bucket_of(buckets, np.array([start + minutes])).tolist() == [len(buckets.starts) - 1]
    covered = sorted((s.first, s.last + s.grain, s.grain) for s in ranges_of(buckets))
    assert covered[0][0] == int(buckets.starts[0])
    assert covered[-1][1] == buckets.end
    for (_, end, _), (begin, _, _) in pairwise(covered):
        assert end == begin
    edges = {*buckets.starts.tolist(), buckets.end}
    for begin, end, grain in covered:
        assert begin % grain == end % grain == 0
        assert all(edge % grain == 0 for edge in edges if begin < edge < end)


@QUICK
@given(
    start=MINUTES,
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_every_minute_of_a_day_bucket_has_the_same_local_date(start: int, zone: str) -> None:
    first = instant_of_minute(start) + timedelta(seconds=59)
    buckets = buckets_between(first, first, Granularity.DAY, ZoneInfo(zone))
    inside = range(int(buckets.starts[0]), buckets.end, 15)
    assert len({instant_of_minute(minute).astimezone(ZoneInfo(zone)).date() for minute in inside}) == 1
    before, after = (instant_of_minute(m).astimezone(ZoneInfo(zone)) for m in (inside[0] - 1, buckets.end))
    assert before.date() < first.astimezone(ZoneInfo(zone)).date() < after.date()


def test_a_minute_outside_has_no_bucket() -> None:
    buckets = Buckets(starts=np.array([10, 20]), end=25)
    assert bucket_of(buckets, np.array([9, 10, 19, 20, 24, 25])).tolist() == [-1, 0, 0, 1, 1, -1]
