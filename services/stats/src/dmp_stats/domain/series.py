"""A series: stored rows and cells that are not stored as rows yet, added up by bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmp_stats.domain.buckets import Buckets, bucket_of
from dmp_stats.domain.cells import CLICK, IMPRESSION, Cells, Ints, select_cells
from dmp_stats.domain.stats_query import GroupBy, StatsQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Counts at minutes (any minute of the bucket that they belong to), each of a group: a position in `groups`."""

    minutes: Ints
    counts_as: Ints
    counts: Ints
    groups: Sequence[str]
    group_of: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points in order of time, within one bucket in order of group.

    `groups` is one empty text for a query without `group_by`.

    starts: the first minute of each point's bucket. group_of: positions in `groups`.
    """

    starts: Ints
    impressions: Ints
    clicks: Ints
    events: Ints
    groups: Sequence[str]
    group_of: Ints


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
    """One point for each bucket and group that has events; with `fill_zero` for every bucket and group there is."""
    placed = [(part, bucket_of(buckets, part.minutes)) for part in parts]
    seen = {part.groups[g] for part, place in placed for g in np.unique(part.group_of[place >= 0]).tolist()}
    groups = sorted(seen) or [""]
    rank = {group: position for position, group in enumerate(groups)}
    size = len(buckets.starts) * len(groups)
    impressions, clicks, events = (np.zeros(size, np.int64) for _ in range(3))
    for part, place in placed:
        inside = place >= 0
        ranks = np.fromiter((rank.get(group, 0) for group in part.groups), np.int64, len(part.groups))
        point = place[inside] * len(groups) + ranks[part.group_of[inside]]
        counts, counts_as = part.counts[inside], part.counts_as[inside]
        np.add.at(events, point, counts)
        for total, kind in ((impressions, IMPRESSION), (clicks, CLICK)):
            of_kind = counts_as == kind
            np.add.at(total, point[of_kind], counts[of_kind])
    shown = np.arange(size) if fill_zero else np.flatnonzero(events)
    return Series(
        starts=buckets.starts[shown // len(groups)],
        impressions=impressions[shown],
        clicks=clicks[shown],
        events=events[shown],
        groups=groups,
        group_of=shown % len(groups),
    )
