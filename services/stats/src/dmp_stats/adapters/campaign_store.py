"""Totals of campaigns, read from the rollups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import array_cursor, int2_array, int8_array
from dmp_stats.domain.buckets import DAY, HOUR, MINUTE, BucketRange

# Jumps from campaign to campaign in the index, however many rows each has.
_NAMES: Final = b"""
WITH RECURSIVE found (campaign_id) AS (
  (SELECT campaign_id FROM rollup WHERE campaign_id > %(after)s COLLATE "C" ORDER BY campaign_id LIMIT 1)
  UNION ALL
  SELECT (SELECT campaign_id FROM rollup WHERE campaign_id > found.campaign_id ORDER BY campaign_id LIMIT 1)
  FROM found WHERE found.campaign_id IS NOT NULL
)
SELECT campaign_id FROM found WHERE campaign_id IS NOT NULL LIMIT %(limit)s
"""
_TOTALS: Final = b"""
SELECT r.campaign_id, r.counts_as, sum(r.count)::int8
FROM unnest(%(names)s::text[]) AS names (campaign_id)
CROSS JOIN unnest(%(grains)b, %(firsts)b, %(lasts)b) AS s (grain, first, last)
JOIN rollup r ON r.campaign_id = names.campaign_id COLLATE "C" AND r.grain = s.grain
 AND r.bucket BETWEEN s.first AND s.last
GROUP BY r.campaign_id, r.counts_as
"""
_LATEST: Final = b"""
SELECT names.campaign_id, latest.bucket
FROM unnest(%(names)s::text[]) AS names (campaign_id)
CROSS JOIN LATERAL (
  SELECT bucket FROM rollup r WHERE r.campaign_id = names.campaign_id COLLATE "C" AND r.grain = %(grain)s
   AND r.bucket BETWEEN %(first)s AND %(last)s ORDER BY r.bucket DESC LIMIT 1
) AS latest
"""
_BUSIEST: Final = b"""
SELECT campaign_id, counts_as, sum(count)::int8, max(bucket) FROM rollup
WHERE grain = 1 AND bucket BETWEEN %s AND %s GROUP BY campaign_id, counts_as
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

    def add(self, counts_as: int, count: int) -> None:
        """Counts so many events more."""
        self.events += count
        if counts_as == 1:
            self.impressions += count
        elif counts_as == 2:
            self.clicks += count


async def names_after(connection: AsyncConnection, after: str, *, limit: int) -> list[str]:
    """Up to `limit` campaigns that have rows, in order of their ids, beginning after that one."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_NAMES, {"after": after, "limit": limit})
        return [row[0] for row in await cursor.fetchall()]


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
        for name, counts_as, count in await cursor.fetchall():
            found.setdefault(name, Totals()).add(counts_as, count)
        for grain in (MINUTE, HOUR, DAY):
            undated = [name for name, total in found.items() if total.last_minute < first]
            if undated:
                parameters = {"names": undated, "grain": grain, "first": first // grain * grain, "last": end - 1}
                await cursor.execute(_LATEST, parameters)
                for name, bucket in await cursor.fetchall():
                    found[name].last_minute = max(bucket, first)
    return found


async def recent(connection: AsyncConnection, *, first: int, last: int) -> dict[str, Totals]:
    """The totals of all campaigns that have events in a few recent minutes, both ends included."""
    found: dict[str, Totals] = {}
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_BUSIEST, (first, last))
        for name, counts_as, count, latest in await cursor.fetchall():
            total = found.setdefault(name, Totals())
            total.add(counts_as, count)
            total.last_minute = max(total.last_minute, latest)
    return found
