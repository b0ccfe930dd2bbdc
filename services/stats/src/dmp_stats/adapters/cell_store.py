"""Cells of single minutes, for audits and repairs.

Only the folder of deltas writes rollups besides; both hold the same lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import array_cursor, int8_array
from dmp_stats.domain.audit import Fingerprint, Fingerprints
from dmp_stats.domain.buckets import DAY, HOUR, MINUTE

_FOLDER_LOCK: Final = 0x646D705F666F6C01
_PAGE_ROWS: Final = 5_000

_CELLS: Final = b"""
SELECT r.campaign_id, r.bucket, r.type, r.count, r.digest_high, r.digest_low, f.fold FROM (
  SELECT campaign_id, bucket, type, sum(count)::int8 AS count,
    bit_xor(digest_high) AS digest_high, bit_xor(digest_low) AS digest_low
  FROM rollup
  WHERE grain = 1 AND bucket BETWEEN %(first)s AND %(last)s AND (%(campaign_id)s = '' OR campaign_id = %(campaign_id)s)
  GROUP BY campaign_id, bucket, type HAVING sum(count) <> 0 OR bit_xor(digest_high) <> 0 OR bit_xor(digest_low) <> 0
) AS r LEFT JOIN folded_campaign f ON f.campaign_id = r.campaign_id
ORDER BY r.campaign_id, r.bucket, r.type
"""
_DELETE: Final = b"DELETE FROM %(table)s WHERE campaign_id = %%b AND grain = %%b AND bucket = ANY(%%b)"
_SUM: Final = b"""
INSERT INTO rollup (campaign_id, grain, bucket, type, counts_as, count, digest_high, digest_low)
SELECT campaign_id, %(wide)s::int2, bucket - mod(mod(bucket, %(wide)s) + %(wide)s, %(wide)s), type, counts_as,
       sum(count), bit_xor(digest_high), bit_xor(digest_low)
FROM rollup WHERE campaign_id = %(campaign_id)s AND grain = %(narrow)s
 AND bucket - mod(mod(bucket, %(wide)s) + %(wide)s, %(wide)s) = ANY(%(buckets)b)
GROUP BY 1, 2, 3, 4, 5
"""
_SUM_DETAIL: Final = b"""
INSERT INTO rollup_detail (campaign_id, grain, bucket, kind, type, counts_as, source, creative_id, count)
SELECT campaign_id, %(wide)s::int2, bucket - mod(mod(bucket, %(wide)s) + %(wide)s, %(wide)s), kind, type, counts_as,
       source, creative_id, sum(count)
FROM rollup_detail WHERE campaign_id = %(campaign_id)s AND grain = %(narrow)s
 AND bucket - mod(mod(bucket, %(wide)s) + %(wide)s, %(wide)s) = ANY(%(buckets)b)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""


async def try_lock_rollups(connection: AsyncConnection) -> bool:
    """Makes this transaction the only one that writes rollups, unless another one is; then False."""
    return bool(await connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_FOLDER_LOCK))))


async def lock_rollups(connection: AsyncConnection) -> None:
    """Waits until no other transaction writes rollups, and makes this one the only one that does."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_FOLDER_LOCK)))


async def stored_cells(
    connection: AsyncConnection, *, campaign_id: str, first: int, last: int
) -> AsyncIterator[tuple[Fingerprints, dict[str, int]]]:
    """The stored cells of these minutes, both included, in order of campaign, minute and type, in parts; with each part
    the last fold that the rows of its campaigns include.

    An empty `campaign_id` stands for all campaigns.
    """
    async with raw(connection).cursor(name="stored_cells", binary=True) as cursor:
        await cursor.execute(_CELLS, {"campaign_id": campaign_id, "first": first, "last": last})
        while rows := await cursor.fetchmany(_PAGE_ROWS):
            cells = {
                (name, minute, kind): Fingerprint(count=count, digest=_digest(high, low))
                for name, minute, kind, count, high, low, _ in rows
            }
            yield cells, {row[0]: row[6] or 0 for row in rows}


async def remove_minutes(connection: AsyncConnection, campaign_id: str, minutes: Sequence[int]) -> None:
    """Removes everything that is stored for these minutes of a campaign; hours and days stay as they are."""
    await _remove(connection, campaign_id, MINUTE, minutes)


async def sum_up_again(connection: AsyncConnection, campaign_id: str, minutes: Sequence[int]) -> None:
    """Makes the hours of these minutes, and their days, the sums of what they are made of."""
    for narrow, wide in ((MINUTE, HOUR), (HOUR, DAY)):
        buckets = sorted({minute // wide * wide for minute in minutes})
        await _remove(connection, campaign_id, wide, buckets)
        async with array_cursor(raw(connection)) as cursor:
            for statement in (_SUM, _SUM_DETAIL):
                await cursor.execute(
                    statement,
                    {
                        "campaign_id": campaign_id,
                        "narrow": narrow,
                        "wide": wide,
                        "buckets": int8_array(np.array(buckets, np.int64)),
                    },
                )


async def _remove(connection: AsyncConnection, campaign_id: str, grain: int, buckets: Sequence[int]) -> None:
    async with array_cursor(raw(connection)) as cursor:
        for table in (b"rollup", b"rollup_detail"):
            wanted = int8_array(np.array(buckets, np.int64))
            await cursor.execute(_DELETE % {b"table": table}, (campaign_id, grain, wanted))


def _digest(high: int, low: int) -> bytes:
    return high.to_bytes(8, "big", signed=True) + low.to_bytes(8, "big", signed=True)
