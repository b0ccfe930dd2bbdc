"""Buckets: the minutes, hours and days of a time zone, and which stored rows add up to them.

Times are whole minutes since 1970 UTC. Rows are stored for minutes, for hours and for days of UTC (the three grains). A
bucket that begins and ends at a full hour of UTC is a sum of hours. In a time zone whose offset is not a whole hour, an
edge of a bucket lies within an hour of UTC: that hour is read minute by minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from dmp_stats.domain.cells import Ints
from dmp_stats.domain.minutes import instant_of_minute, minute_of

MINUTE: Final = 1
HOUR: Final = 60
DAY: Final = 1440


class Granularity(StrEnum):
    """How long a bucket is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Buckets that follow one another without a gap; at least one."""

    starts: Ints
    """The first minute of each bucket, ascending."""
    end: int
    """The minute after the last bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRange:
    """A range of stored rows of one grain."""

    grain: int
    """MINUTE, HOUR or DAY."""
    first: int
    """The first minute of the first row."""
    last: int
    """The first minute of the last row, which is included."""


def buckets_between(start: datetime, end: datetime, granularity: Granularity, zone: ZoneInfo) -> Buckets:
    """The buckets from the one that holds `start` to the one that holds `end`, both included.

    A day lasts from one local midnight to the next: 23, 24 or 25 hours. An hour begins at each full hour of the local
    clock and where the clock is changed, so that the hour that comes twice is two buckets. Edges inside a minute (zones
    before about 1930) are floored.
    """
    if granularity is Granularity.MINUTE:
        edges = np.arange(minute_of(start), minute_of(end) + 2, dtype=np.int64)
    elif granularity is Granularity.HOUR:
        edges = _hour_edges(minute_of(start), minute_of(end), zone)
    else:
        edges = _day_edges(start, end, zone)
    return Buckets(starts=edges[:-1], end=int(edges[-1]))


def ranges_of(buckets: Buckets) -> list[BucketRange]:
    """The ranges of stored rows that add up to the buckets: as few and as coarse rows as the edges of buckets allow."""
    first, end = int(buckets.starts[0]), buckets.end
    edges = np.append(buckets.starts, end)
    cuts_hour = edges % HOUR != 0
    if not cuts_hour.any():
        grain = HOUR if (edges % DAY).any() else DAY
        return [BucketRange(grain=grain, first=first, last=end - grain)]
    if int(np.diff(edges).max()) <= HOUR:
        return [BucketRange(grain=MINUTE, first=first, last=end - 1)]
    ranges: list[BucketRange] = []
    position = first
    for hour in np.unique(edges[cuts_hour] // HOUR * HOUR).tolist():
        if position < hour:
            ranges.append(BucketRange(grain=HOUR, first=position, last=hour - HOUR))
        position = max(position, hour)
        if position < min(hour + HOUR, end):
            ranges.append(BucketRange(grain=MINUTE, first=position, last=min(hour + HOUR, end) - 1))
        position = hour + HOUR
    if position < end:
        ranges.append(BucketRange(grain=HOUR, first=position, last=end - HOUR))
    return ranges


def ranges_between(first: int, end: int) -> list[BucketRange]:
    """The ranges of stored rows that add up to the minutes from `first` up to `end`, which is excluded.

    Days in the middle, hours and minutes at both ends.
    """
    ranges: list[BucketRange] = []
    for grain, wider in ((MINUTE, HOUR), (HOUR, DAY)):
        begin, finish = -(-first // wider) * wider, end // wider * wider
        if begin >= finish:
            break
        for left, right in ((first, begin), (finish, end)):
            if left < right:
                ranges.append(BucketRange(grain=grain, first=left, last=right - grain))
        first, end = begin, finish
    else:
        return [*ranges, BucketRange(grain=DAY, first=first, last=end - DAY)]
    return [*ranges, BucketRange(grain=grain, first=first, last=end - grain)]


def bucket_of(buckets: Buckets, minutes: Ints) -> Ints:
    """For each minute the position of its bucket, -1 if it lies in none."""
    positions = np.searchsorted(buckets.starts, minutes, side="right") - 1
    return np.where((positions >= 0) & (minutes < buckets.end), positions, -1)


def _offset(minute: int, zone: ZoneInfo) -> int:
    """The zone's distance from UTC at that minute, in whole minutes, rounded up: what begins by it is then floored."""
    offset = instant_of_minute(minute).astimezone(zone).utcoffset()
    assert offset is not None
    return -(-offset // timedelta(minutes=1))


def _changes(first: int, last: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Where the offset changes in (first, last], and the offset from there on; the first entry is `first` itself."""
    changes = [(first, _offset(first, zone))]
    position = first
    while position < last:
        step = min(position + DAY, last)
        offset = _offset(step, zone)
        if offset != changes[-1][1]:
            low, high = position, step
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(middle, zone) == changes[-1][1]:
                    low = middle
                else:
                    high = middle
            # Two changes within a day would be found one after the other: go on from the first.
            changes.append((high, _offset(high, zone)))
            step = high
        position = step
    return changes


def _hour_edges(first: int, last: int, zone: ZoneInfo) -> Ints:
    # A bucket never begins more than an hour before something that is in it, and ends within an hour after.
    changes = _changes(first - HOUR, last + HOUR, zone)
    edges: list[Ints] = []
    for position, (begin, offset) in enumerate(changes):
        end = changes[position + 1][0] if position + 1 < len(changes) else last + HOUR + 1
        full = begin + (-(begin + offset)) % HOUR
        edges.append(np.arange(full, end, HOUR, dtype=np.int64))
        if position > 0 and full != begin:
            edges.append(np.array([begin], np.int64))
    every = np.unique(np.concatenate(edges))
    return every[max(np.searchsorted(every, first, side="right") - 1, 0) : np.searchsorted(every, last, "right") + 1]


def _day_edges(start: datetime, end: datetime, zone: ZoneInfo) -> Ints:
    day = start.astimezone(zone).date() - timedelta(days=1)
    last = end.astimezone(zone).date() + timedelta(days=2)
    midnights: list[int] = []
    while day <= last:
        midnights.append(_midnight(day.year, day.month, day.day, zone))
        day += timedelta(days=1)
    # A day that a zone has skipped (the date line moved) begins where the next one does, and is none.
    every = np.unique(np.array(midnights, np.int64))
    from_edge = np.searchsorted(every, minute_of(start), side="right") - 1
    return every[from_edge : np.searchsorted(every, minute_of(end), side="right") + 1]


@lru_cache(maxsize=8192)
def _midnight(year: int, month: int, day: int, zone: ZoneInfo) -> int:
    """Where a local day begins: at its midnight, or where the clock jumps over it."""
    midnight = minute_of(datetime(year, month, day, tzinfo=zone))
    local = instant_of_minute(midnight).astimezone(zone)
    if (local.hour, local.minute) == (0, 0) and local.day == day:
        return midnight
    jump = _changes(midnight - DAY, midnight, zone)
    return jump[-1][0] if len(jump) > 1 else midnight
