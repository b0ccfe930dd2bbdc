"""Answers how many events a campaign had, bucket by bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_stats.adapters import delta_store, rollup_store
from dmp_stats.adapters.delta_store import Delta, DeltaCache
from dmp_stats.domain.buckets import Buckets, Granularity, buckets_between, ranges_of
from dmp_stats.domain.series import MOST_POINTS, Counted, Series, add_up, counted_of_cells, too_many_points
from dmp_stats.domain.stats_query import StatsQuery
from dmp_stats.read_at_one_fold import read_at_one_fold

_MOST_ROWS: Final = 600_000
"""How many sums are read for one answer: for each point three, one for each thing that an event can count as."""
_ROWS_INLINE: Final = 20_000
_ROWS_OF_A_DELTA: Final = 50
_BUCKETS_INLINE: Final = 50_000
"""A month of minutes, 44,640, is an everyday question."""
_GROUPED_BUCKETS_INLINE: Final = 1_500
"""So is a day of minutes in groups."""
_BUCKET: Final = {
    Granularity.MINUTE: timedelta(minutes=1),
    Granularity.HOUR: timedelta(hours=1),
    Granularity.DAY: timedelta(days=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsAnswer:
    """One page of a series."""

    series: Series
    next_minute: int | None
    """The first minute of the next page's first bucket; None if this is the last page."""


async def query_stats(query: StatsQuery, database: Database, deltas: DeltaCache) -> StatsAnswer:
    """Adds up stored rows and deltas that are not folded yet, at one instant.

    Raises InvalidArgument if an answer cannot hold the points, before they are made. It costs one pass over the
    campaign's rows in the range, at the coarsest grain that fits. Many rows are added up in a thread.
    """
    buckets, next_minute = _page(buckets_between(query.start, query.end, query.granularity, query.zone), query)
    if query.fill_zero and len(buckets.starts) > MOST_POINTS:
        raise too_many_points()

    async def read(connection: AsyncConnection) -> tuple[Counted, Sequence[Delta]]:
        pending = await delta_store.pending(connection, deltas)
        found, seen = await rollup_store.counted(connection, query, ranges_of(buckets), limit=_MOST_ROWS + 1)
        return found, pending.beyond(seen)

    stored, beyond = await read_at_one_fold(database, read)
    if len(stored.counts) > _MOST_ROWS:
        raise too_many_points()

    def added_up() -> Series:
        waiting = (delta.of_campaign(query.campaign_id) for delta in beyond)
        parts = [stored, *(counted_of_cells(cells, query) for cells in waiting if cells is not None)]
        return add_up(parts, buckets, fill_zero=query.fill_zero)

    is_long = len(stored.counts) + len(beyond) * _ROWS_OF_A_DELTA > _ROWS_INLINE
    if is_long or (query.fill_zero and len(buckets.starts) > _ROWS_INLINE):
        return StatsAnswer(series=await asyncio.to_thread(added_up), next_minute=next_minute)
    return StatsAnswer(series=added_up(), next_minute=next_minute)


def may_be_long(query: StatsQuery) -> bool:
    """Whether the answer may be long, so that it has to take turns with other long ones."""
    buckets = (query.end - query.start) // _BUCKET[query.granularity] + 1
    buckets = buckets if query.page_size is None else min(buckets, query.page_size)
    return buckets > (_BUCKETS_INLINE if query.group_by is None else _GROUPED_BUCKETS_INLINE)


def _page(buckets: Buckets, query: StatsQuery) -> tuple[Buckets, int | None]:
    starts = buckets.starts
    first = 0 if query.resume_minute is None else int((starts < query.resume_minute).sum())
    # A token beyond the range finds its last bucket, as one of this range never does.
    first = min(first, len(starts) - 1)
    last = len(starts) if query.page_size is None else min(first + query.page_size, len(starts))
    end = int(starts[last]) if last < len(starts) else buckets.end
    return Buckets(starts=starts[first:last], end=end), end if last < len(starts) else None
