"""The inbox and the timelines: what applying a batch writes besides the graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from dmp_identity.adapters.bulk import bulk_cursor, copy_rows


async def remember_batch(connection: psycopg.AsyncConnection[Any], batch_id: str) -> bool:
    """Notes that this transaction applies the batch; False if another one has. Waits for one that is about to."""
    cursor = await connection.execute("INSERT INTO inbox (batch_id) VALUES (%s) ON CONFLICT DO NOTHING", (batch_id,))
    return cursor.rowcount == 1


async def append_to_timelines(connection: psycopg.AsyncConnection[Any], rows: Iterable[str]) -> None:
    """Appends entries: profile, occurred_at_us, event_id, type, source, joined by tabs, as `escaped` makes them."""
    await copy_rows(
        bulk_cursor(connection), "timeline_entry (profile_id, occurred_at_us, event_id, type, source)", rows
    )
