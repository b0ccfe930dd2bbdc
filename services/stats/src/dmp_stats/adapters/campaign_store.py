"""Totals of campaigns, read from the rollups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import array_cursor, int2_array, int8_array
from dmp_stats.domain.buckets import DAY, HOUR, MINUTE, BucketRange

_FOLDS_AFTER: Final = b"""
SELECT campaign_id, fold FROM folded_campaign WHERE campaign_id > %(after)s COLLATE "C"
ORDER BY campaign_id LIMIT %(limit)s
"""
_FOLDS_OF: Final = b"SELECT campaign_id, fold FROM folded_campaign WHERE campaign_id = ANY(%s)"
_TOTALS: Final = b"""
SELECT f.campaign_id, r.counts_as, sum(r.count)::int8, max(f.fold)
FROM folded_campaign f
CROSS JOIN unnest(%(grains)b, %(firsts)b, %(lasts)b) AS s (grain, first, last)
JOIN rollup r ON r.campaign_id = f.campaign_id AND r.grain = s.grain AND r.bucket BETWEEN s.first AND s.last
WHERE f.campaign_id = ANY(%(names)s)
GROUP BY f.campaign_id, r.counts_as
"""
# One look at the end of the range in the index for each campaign, however many rows it has.
_LATEST: Final = b"""
SELECT f.campaign_id, (
  SELECT max(r.bucket) FROM rollup r WHERE r.campaign_id = f.campaign_id AND r.grain = %(grain)s
   AND r.bucket BETWEEN %(first)s AND %(last)s
) FROM folded_campaign f WHERE f.campaign_id = ANY(%(names)s)
"""
_BUSIEST: Final = b"""
SELECT r.campaign_id, r.counts_as, r.count, r.latest, f.fold FROM (
  SELECT campaign_id, counts_as, sum(count)::int8 AS count, max(bucket) AS latest FROM rollup
  WHERE grain = 1 AND bucket BETWEEN %s AND %s GROUP BY campaign_id, counts_as
) AS r LEFT JOIN folded_campaign f ON f.campaign_id = r.campaign_id
"""


@dataclass(slots=True, kw_only=True)
class Totals:
    """What one campaign has in a range."""

    impressions: int = 0
    clicks: int = 0
    events: int = 0
    """All events, also those that are neither impressions nor clicks."""
    last_minute: int = -(2**31)
    """The latest minute (or hour) with an event, in minutes since 1970 UTC."""
    fold: int = 0
    """The last fold of the campaign that stored rows include, as far as they are counted here."""

    def add(self, counts_as: int, count: int) -> None:
        """Counts so many events more."""
        self.events += count
        if counts_as == 1:
            self.impressions += count
        elif counts_as == 2:
            self.clicks += count


async def folds_after(connection: AsyncConnection, after: str, *, limit: int) -> dict[str, int]:
    """The last folds of up to `limit` campaigns that have rows, in order of their ids, beginning after that one."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_FOLDS_AFTER, {"after": after, "limit": limit})
        return dict(await cursor.fetchall())


async def folds_of(connection: AsyncConnection, names: Collection[str]) -> dict[str, int]:
    """The last fold of each of these campaigns that has rows."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_FOLDS_OF, (list(names),))
        return dict(await cursor.fetchall())


async def totals(
    connection: AsyncConnection, names: Sequence[str], ranges: Sequence[BucketRange], *, first: int, end: int
) -> dict[str, Totals]:
    """The totals of these campaigns in these ranges, which cover the minutes from `first` up to `end`."""
    found: dict[str, Totals] = {}
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(
            _TOTALS,
            {
                "names": list(names),
                "grains": int2_array(np.array([s.grain for s in ranges])),
                "firsts": int8_array(np.array([s.first for s in ranges])),
                "lasts": int8_array(np.array([s.last for s in ranges])),
            },
        )
        for name, counts_as, count, fold in await cursor.fetchall():
            found.setdefault(name, Totals(fold=fold)).add(counts_as, count)
        for grain in (MINUTE, HOUR, DAY):
            undated = [name for name, total in found.items() if total.last_minute < first]
            if undated:
                parameters = {"names": undated, "grain": grain, "first": first // grain * grain, "last": end - 1}
                await cursor.execute(_LATEST, parameters)
                for name, bucket in await cursor.fetchall():
                    if bucket is not None:
                        found[name].last_minute = max(bucket, first)
    return found


async def recent(connection: AsyncConnection, *, first: int, last: int) -> dict[str, Totals]:
    """The totals of all campaigns that have events in a few recent minutes, both ends included."""
    found: dict[str, Totals] = {}
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_BUSIEST, (first, last))
        for name, counts_as, count, latest, fold in await cursor.fetchall():
            total = found.setdefault(name, Totals(fold=fold or 0))
            total.add(counts_as, count)
            total.last_minute = max(total.last_minute, latest)
    return found
