"""What a replica must read before it answers from memory: batches of the sliding window, and which reference table is
current.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import array_cursor, int8_array

_PAGE_ROWS: Final = 100

_CHANGES: Final = b"""
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8,
       (SELECT max(generation) FROM reference_generation),
       array_agg(seq), array_agg(xact_id)
FROM window_batch WHERE xact_id >= %b::int8
"""
_PAYLOADS: Final = b"SELECT seq, sightings FROM window_batch WHERE seq = ANY(%b)"
_PRUNE: Final = b"""
DELETE FROM window_batch WHERE seq IN (SELECT seq FROM window_batch WHERE last_second <= %b ORDER BY seq LIMIT %b)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChanges:
    """What was committed since an earlier look."""

    horizon: int
    """Where the next look begins: every transaction with a lower id has ended, and what it wrote has been seen."""
    generation: int
    """The current version of the reference table, 0 if there is none."""
    batches: dict[int, int]
    """The batches: number and transaction id."""


async def changes_since(connection: AsyncConnection, horizon: int) -> WindowChanges:
    """The batches that may have been committed since an earlier look.

    horizon: what the earlier look returned as its horizon: all transactions below it had ended then. Batches of these
    are left out.
    Returns batches that the earlier look had already seen, too, if their transactions are not below the horizon.
    """
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_CHANGES, (horizon,))
        row = await cursor.fetchone()
    assert row is not None
    seqs = [] if row[2] is None else row[2].tolist()
    xact_ids = [] if row[3] is None else row[3].tolist()
    return WindowChanges(horizon=row[0], generation=row[1] or 0, batches=dict(zip(seqs, xact_ids, strict=True)))


async def activity_of_batches(
    connection: AsyncConnection, seqs: Collection[int]
) -> AsyncIterator[list[tuple[int, bytes]]]:
    """The stored activity of these batches, a page of rows at a time; batches that are gone are left out."""
    wanted = np.array(sorted(seqs), np.int64)
    async with array_cursor(raw(connection)) as cursor:
        for start in range(0, len(wanted), _PAGE_ROWS):
            await cursor.execute(_PAYLOADS, (int8_array(wanted[start : start + _PAGE_ROWS]),))
            yield await cursor.fetchall()


async def prune(connection: AsyncConnection, *, up_to_second: int, limit: int) -> int:
    """Removes up to `limit` batches without any event later than that second; returns how many."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_PRUNE, (up_to_second, limit))
        return cursor.rowcount
