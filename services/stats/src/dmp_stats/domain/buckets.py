"""Buckets: the minutes, hours and days of a time zone, and which stored rows add up to them.

Everything is in whole minutes since 1970 UTC. Stored rows come in three grains: a minute, an hour and a day of UTC. A
bucket whose edges lie on hours of UTC is a sum of hours; where a zone's offset is not a whole hour, the hours that an
edge cuts are taken by the minute.
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
from dmp_stats.domain.instants import instant_of_minute, minute_of

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
    """Buckets one after another: `starts` ascending, `end` where the last one ends. At least one."""

    starts: Ints
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Stored rows of one grain whose bucket is from `first` to `last`, both included."""

    grain: int
    first: int
    last: int


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


def stretches_of(buckets: Buckets) -> list[Stretch]:
    """The stored rows that add up to the buckets: as few and as coarse as the edges allow."""
    first, end = int(buckets.starts[0]), buckets.end
    edges = np.append(buckets.starts, end)
    if len(edges) > 2 and int(np.diff(edges).min()) < HOUR and int(np.diff(edges).max()) <= HOUR:
        return [Stretch(grain=MINUTE, first=first, last=end - 1)]
    if not (edges % DAY).any():
        return [Stretch(grain=DAY, first=first, last=end - DAY)]
    cut = np.unique(edges[edges % HOUR != 0] // HOUR) * HOUR
    if len(cut) == 0:
        return [Stretch(grain=HOUR, first=first, last=end - HOUR)]
    if len(cut) > len(edges) // 2 and int(np.diff(edges).max()) <= HOUR:
        return [Stretch(grain=MINUTE, first=first, last=end - 1)]
    stretches: list[Stretch] = []
    position = first
    for hour in cut.tolist():
        if position < hour:
            stretches.append(Stretch(grain=HOUR, first=position, last=hour - HOUR))
        position = max(position, hour)
        if position < min(hour + HOUR, end):
            stretches.append(Stretch(grain=MINUTE, first=position, last=min(hour + HOUR, end) - 1))
        position = hour + HOUR
    if position < end:
        stretches.append(Stretch(grain=HOUR, first=position, last=end - HOUR))
    return stretches


def stretches_between(first: int, end: int) -> list[Stretch]:
    """The stored rows that add up to the minutes from `first` up to `end` (excluded): days, and less at both sides."""
    stretches: list[Stretch] = []
    for grain, wider in ((MINUTE, HOUR), (HOUR, DAY)):
        begin, finish = -(-first // wider) * wider, end // wider * wider
        if begin >= finish:
            break
        for left, right in ((first, begin), (finish, end)):
            if left < right:
                stretches.append(Stretch(grain=grain, first=left, last=right - grain))
        first, end = begin, finish
    else:
        return [*stretches, Stretch(grain=DAY, first=first, last=end - DAY)]
    return [*stretches, Stretch(grain=grain, first=first, last=end - grain)]


def bucket_of(buckets: Buckets, minutes: Ints) -> Ints:
    """For each minute the position of its bucket, -1 if it lies in none."""
    positions = np.searchsorted(buckets.starts, minutes, side="right") - 1
    return np.where((positions >= 0) & (minutes < buckets.end), positions, -1)


def _offset(minute: int, zone: ZoneInfo) -> int:
    """The zone's distance from UTC at that minute, in whole minutes, floored."""
    offset = instant_of_minute(minute).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(minutes=1)


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
