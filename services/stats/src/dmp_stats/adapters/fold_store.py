"""Folds by number: which one the stored rows of a campaign include, and what the last one added.

Where the rollups are distributed, deltas and stored rows have no snapshot in common. A fold is one transaction, but its
end shows first in the tables of the coordinator and then on one shard after the other. So the shard says of each
campaign which fold its rows include, and the coordinator keeps what the last fold added until the next one (ADR 0020).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import array_cursor

_NOTE: Final = b"""
INSERT INTO fold AS f (id, number, cells) VALUES (1, 1, %b)
ON CONFLICT (id) DO UPDATE SET number = f.number + 1, cells = EXCLUDED.cells RETURNING number
"""
_MARK: Final = b"""
INSERT INTO folded_campaign (campaign_id, fold) SELECT name, %b FROM unnest(%s::text[]) AS names (name)
ON CONFLICT (campaign_id) DO UPDATE SET fold = EXCLUDED.fold
"""
_MISSING: Final = b"""
INSERT INTO folded_campaign (campaign_id, fold) SELECT DISTINCT campaign_id, 0 FROM rollup WHERE grain = 1440
ON CONFLICT DO NOTHING
"""
_SHOWN: Final = b"SELECT count(*) FROM folded_campaign WHERE campaign_id = ANY(%s) AND fold >= %b"


async def note_fold(connection: AsyncConnection, cells: bytes, campaigns: Collection[str]) -> int:
    """Notes a fold in the transaction that adds its cells to the rollups; returns its number.

    The caller holds the lock of whoever writes rollups, and has seen that the fold before shows everywhere.
    """
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_NOTE, (cells,))
        row = await cursor.fetchone()
        assert row is not None
        await cursor.execute(_MARK, (row[0], sorted(campaigns)))
    return int(row[0])


async def shows_everywhere(connection: AsyncConnection, number: int, campaigns: Collection[str]) -> bool:
    """Whether the rollups of all these campaigns, those of the fold of this number, include it."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_SHOWN, (list(campaigns), number))
        row = await cursor.fetchone()
    return row is not None and row[0] == len(campaigns)


async def mark_missing_campaigns(connection: AsyncConnection) -> None:
    """Lists campaigns that have rows and are not listed: those that the release before has folded."""
    await raw(connection).execute(_MISSING)
