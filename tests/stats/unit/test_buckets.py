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
    ranges_between,
    ranges_of,
)
from dmp_stats.domain.minutes import instant_of_minute, minute_of
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


def edges(start: str, end: str, granularity: str, zone: str) -> list[str]:
    """As `starts`, and the end of the last bucket."""
    buckets = buckets_between(at(start), at(end), Granularity(granularity), ZoneInfo(zone))
    return [format_instant(instant_of_minute(minute)) for minute in (*buckets.starts.tolist(), buckets.end)]


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


EDGES = {
    "a bucket holds its first instant": (
        ("2026-02-10T21:00:00Z", "2026-02-10T22:00:00Z", "hour", "UTC"),
        ["2026-02-10T21:00:00Z", "2026-02-10T22:00:00Z", "2026-02-10T23:00:00Z"],
    ),
    "and not the instant after it": (
        ("2026-02-10T00:00:00Z", "2026-02-10T23:59:59Z", "day", "UTC"),
        ["2026-02-10T00:00:00Z", "2026-02-11T00:00:00Z"],
    ),
    "midnight belongs to the day that begins": (
        ("2026-02-10T12:00:00Z", "2026-02-11T00:00:00Z", "day", "UTC"),
        ["2026-02-10T00:00:00Z", "2026-02-11T00:00:00Z", "2026-02-12T00:00:00Z"],
    ),
    "hours of a zone that is half an hour off begin at half past": (
        ("2026-02-10T00:00:00Z", "2026-02-10T01:00:00Z", "hour", "Asia/Kolkata"),
        ["2026-02-09T23:30:00Z", "2026-02-10T00:30:00Z", "2026-02-10T01:30:00Z"],
    ),
    "45 minutes ahead of UTC is a quarter past": (
        ("2026-02-10T00:30:00Z", "2026-02-10T00:30:00Z", "hour", "Asia/Kathmandu"),
        ["2026-02-10T00:15:00Z", "2026-02-10T01:15:00Z"],
    ),
    # Lord Howe, 5 April 2026: 02:00 becomes 01:30 (15:00 UTC on the 4th).
    "a clock that moves by half an hour begins a bucket": (
        ("2026-04-04T14:10:00Z", "2026-04-04T16:00:00Z", "hour", "Australia/Lord_Howe"),
        ["2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"],
    ),
    "the hour in which it moves is cut": (
        ("2026-04-04T14:50:00Z", "2026-04-04T15:10:00Z", "hour", "Australia/Lord_Howe"),
        ["2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"],
    ),
    "the hour before it is not": (
        ("2026-04-04T14:50:00Z", "2026-04-04T14:50:00Z", "hour", "Australia/Lord_Howe"),
        ["2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"],
    ),
    # Liberia was 44 minutes and 30 seconds behind UTC until 1972.
    "an hour that begins inside a minute is floored": (
        ("1960-01-01T12:50:00Z", "1960-01-01T12:50:00Z", "hour", "Africa/Monrovia"),
        ["1960-01-01T12:44:00Z", "1960-01-01T13:44:00Z"],
    ),
    "a day that begins inside a minute is floored": (
        ("1960-01-01T12:50:00Z", "1960-01-01T12:50:00Z", "day", "Africa/Monrovia"),
        ["1960-01-01T00:44:00Z", "1960-01-02T00:44:00Z"],
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_where_buckets_begin_and_end(case: str) -> None:
    question, expected = EDGES[case]
    assert edges(*question) == expected


def test_in_a_year_only_the_two_changes_of_the_clock_begin_an_hour_that_is_not_full() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    buckets = buckets_between(at("2026-01-01T00:00:00Z"), at("2026-12-31T23:00:00Z"), Granularity.HOUR, zone)
    local = [instant_of_minute(minute).astimezone(zone) for minute in buckets.starts.tolist()]
    odd = [start.isoformat() for start in local if start.minute != 0]
    assert odd == ["2026-04-05T01:30:00+10:30", "2026-10-04T02:30:00+11:00"]
    assert np.diff(buckets.starts).max() == 60


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


# Each case: the edges of buckets, in minutes; and (grain, first row, last row) of the rows that add up to them.
RANGES = {
    "days of UTC are days": ([0, 1440, 2880], [(1440, 0, 1440)]),
    "one day": ([1440, 2880], [(1440, 1440, 1440)]),
    "a day is at most as long as one of UTC": ([60, 1500], [(60, 60, 1440)]),
    "hours of UTC": ([60, 120, 180], [(60, 60, 120)]),
    "minutes": ([70, 71, 72], [(1, 70, 71)]),
    "one minute": ([70, 71], [(1, 70, 70)]),
    "hours that begin at half past are read by the minute": ([30, 90, 150], [(1, 30, 149)]),
    "one hour that begins at half past": ([30, 90], [(1, 30, 89)]),
    "hours, and half an hour where the clock was changed": ([0, 60, 90, 150], [(1, 0, 149)]),
    "only the last hour is cut, but all are short": ([0, 60, 90], [(1, 0, 89)]),
    "a day from half past: the cut hours by the minute": ([30, 1470], [(1, 30, 59), (60, 60, 1380), (1, 1440, 1469)]),
    "only its begin is cut": ([30, 1500], [(1, 30, 59), (60, 60, 1440)]),
    "only its end is cut": ([60, 1470], [(60, 60, 1380), (1, 1440, 1469)]),
    "two days that meet inside an hour read that hour once": (
        [0, 1470, 2880],
        [(60, 0, 1380), (1, 1440, 1499), (60, 1500, 2820)],
    ),
    "two cut hours that follow one another": ([30, 100, 1440], [(1, 30, 59), (1, 60, 119), (60, 120, 1380)]),
    "before 1970": ([-90, 1350], [(1, -90, -61), (60, -60, 1260), (1, 1320, 1349)]),
}


@pytest.mark.parametrize("case", RANGES)
def test_the_coarsest_rows_that_fit_are_read(case: str) -> None:
    edge, expected = RANGES[case]
    ranges = ranges_of(Buckets(starts=np.array(edge[:-1]), end=edge[-1]))
    assert [(one.grain, one.first, one.last) for one in ranges] == expected


# Each case: the first minute and the one after the last; and the rows that add up to them.
BETWEEN = {
    "one minute": ((70, 71), [(1, 70, 70)]),
    "minutes on both sides of a full hour": ((59, 61), [(1, 59, 60)]),
    "an hour": ((60, 120), [(60, 60, 60)]),
    "an hour and a minute on each side": ((59, 121), [(1, 59, 59), (1, 120, 120), (60, 60, 60)]),
    "hours on both sides of midnight": ((1380, 1500), [(60, 1380, 1440)]),
    "a day": ((1440, 2880), [(1440, 1440, 1440)]),
    "days, an hour and a minute": ((0, 2941), [(1, 2940, 2940), (60, 2880, 2880), (1440, 0, 1440)]),
    "a minute, an hour and a day": ((1379, 2880), [(1, 1379, 1379), (60, 1380, 1380), (1440, 1440, 1440)]),
    "before 1970": ((-61, 0), [(1, -61, -61), (60, -60, -60)]),
    "a day before 1970": ((-1440, 1440), [(1440, -1440, 0)]),
}


@pytest.mark.parametrize("case", BETWEEN)
def test_a_range_of_minutes_is_read_by_the_coarsest_rows(case: str) -> None:
    (first, end), expected = BETWEEN[case]
    assert [(one.grain, one.first, one.last) for one in ranges_between(first, end)] == expected


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
