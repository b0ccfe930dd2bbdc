"""A series: counts by bucket and group, added up from stored rows and from cells that are not folded into rows yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from dmp_chassis.violations import InvalidArgument, Violation
from dmp_stats.domain.buckets import Buckets, bucket_of
from dmp_stats.domain.cells import CLICK, IMPRESSION, Cells, Ints, select_cells
from dmp_stats.domain.stats_query import GroupBy, StatsQuery

MOST_POINTS: Final = 200_000
"""Points of one answer."""
MOST_BYTES: Final = 33_554_432
"""About how many bytes the points of one answer may have as JSON: half of what a message may have."""
_POINT_BYTES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Counts that are to be added up, as columns with one entry for each."""

    minutes: Ints
    """When: any minute of the bucket that the count belongs to."""
    counts_as: Ints
    """What: 0, IMPRESSION or CLICK."""
    counts: Ints
    """How many events."""
    groups: Sequence[str]
    """The names of the groups."""
    group_of: Ints
    """In which group: a position in `groups`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points as columns, in order of time, and within one bucket in order of the group."""

    starts: Ints
    """The first minute of the point's bucket."""
    impressions: Ints
    clicks: Ints
    events: Ints
    """All events, also those that are neither impressions nor clicks."""
    groups: Sequence[str]
    """The names of the groups; one empty text for a query without `group_by`."""
    group_of: Ints
    """The point's group: a position in `groups`."""


def counted_of_cells(cells: Cells, query: StatsQuery) -> Counted:
    """The cells of one campaign that the query's filters let through."""
    keep = np.ones(len(cells), bool)
    for wanted, column in (
        (query.types, cells.types),
        (query.sources, cells.sources),
        (query.creative_ids, cells.creatives),
    ):
        if wanted:
            chosen = set(wanted)
            keep &= np.fromiter((text in chosen for text in cells.texts), bool, len(cells.texts))[column]
    kept = select_cells(cells, keep)
    columns = {GroupBy.TYPE: kept.types, GroupBy.SOURCE: kept.sources, GroupBy.CREATIVE_ID: kept.creatives}
    return Counted(
        minutes=kept.minutes,
        counts_as=kept.counts_as,
        counts=kept.counts,
        groups=cells.texts if query.group_by else [""],
        group_of=columns[query.group_by] if query.group_by else np.zeros(len(kept), np.int64),
    )


def add_up(parts: Sequence[Counted], buckets: Buckets, *, fill_zero: bool) -> Series:
    """One point for each pair of bucket and group that has events.

    fill_zero: also points without events, for each bucket and each group that has events in any bucket.

    Raises InvalidArgument if an answer cannot hold the points. The cost grows with the rows of the parts and the
    points of the answer, not with buckets times groups.
    """
    placed = [(part, bucket_of(buckets, part.minutes)) for part in parts]
    seen = {part.groups[g] for part, place in placed for g in np.unique(part.group_of[place >= 0]).tolist()}
    groups = sorted(seen) or [""]
    if fill_zero and len(buckets.starts) * len(groups) > MOST_POINTS:
        raise too_many_points()
    rank = {group: position for position, group in enumerate(groups)}
    numbers: list[Ints] = [np.zeros(0, np.int64)]
    for part, place in placed:
        inside = place >= 0
        ranks = np.fromiter((rank.get(group, 0) for group in part.groups), np.int64, len(part.groups))
        numbers.append(place[inside] * len(groups) + ranks[part.group_of[inside]])
    if fill_zero:
        found, point = np.arange(len(buckets.starts) * len(groups), dtype=np.int64), np.concatenate(numbers)
    else:
        found, point = np.unique(np.concatenate(numbers), return_inverse=True)
    _check_size(found, groups)
    counts = np.concatenate([np.zeros(0, np.int64), *(part.counts[place >= 0] for part, place in placed)])
    counts_as = np.concatenate([np.zeros(0, np.int64), *(part.counts_as[place >= 0] for part, place in placed)])
    impressions, clicks, events = (np.zeros(len(found), np.int64) for _ in range(3))
    np.add.at(events, point, counts)
    for total, kind in ((impressions, IMPRESSION), (clicks, CLICK)):
        of_kind = counts_as == kind
        np.add.at(total, point[of_kind], counts[of_kind])
    # A repair may have taken all events of a point away: its counts then add up to zero, and it is not shown.
    shown = np.arange(len(found)) if fill_zero else np.flatnonzero(events)
    return Series(
        starts=buckets.starts[found[shown] // len(groups)],
        impressions=impressions[shown],
        clicks=clicks[shown],
        events=events[shown],
        groups=groups,
        group_of=found[shown] % len(groups),
    )


def size_of(series: Series) -> int:
    """How many bytes of memory a series takes."""
    columns = (series.starts, series.impressions, series.clicks, series.events, series.group_of)
    return sum(column.nbytes for column in columns) + sum(map(sys.getsizeof, series.groups))


def too_many_points() -> InvalidArgument:
    """What a caller is told whose answer would be too long."""
    description = (
        f"is needed: an answer has at most {MOST_POINTS:,} points and {MOST_BYTES // 2**20} MiB, this one would have "
        "more; ask for fewer buckets at once with page_size, for a coarser granularity, or filter"
    )
    return InvalidArgument([Violation("page_size", description)])


def _check_size(points: Ints, groups: Sequence[str]) -> None:
    if len(points) > MOST_POINTS:
        raise too_many_points()
    sizes = np.fromiter((len(msgspec.json.encode(group)) for group in groups), np.int64, len(groups))
    if len(points) * _POINT_BYTES + int(sizes[points % len(groups)].sum()) > MOST_BYTES:
        raise too_many_points()
