"""The inbox and the timelines: what applying a batch writes besides the graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from dmp_identity.adapters.bulk import bulk_cursor, copy_rows


async def remember_batch(connection: psycopg.AsyncConnection[Any], batch_id: str) -> int | None:
    """Notes that this transaction applies the batch; None if another one has. Waits for one that is about to.

    Otherwise returns when a person was erased last, in microseconds since 1970, 0 if nobody ever was.
    """
    cursor = await connection.execute(
        "WITH noted AS (INSERT INTO inbox (batch_id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1)"
        " SELECT coalesce((SELECT max(erased_at_us) FROM erasure), 0) FROM noted",
        (batch_id,),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def append_to_timelines(connection: psycopg.AsyncConnection[Any], rows: Iterable[str]) -> None:
    """Appends entries: profile, occurred_at_us, event_id, type, source, joined by tabs, as `escaped` makes them."""
    await copy_rows(
        bulk_cursor(connection), "timeline_entry (profile_id, occurred_at_us, event_id, type, source)", rows
    )
