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


async def append_to_timelines(
    connection: psycopg.AsyncConnection[Any], rows: Iterable[str], *, some_may_be_there: bool
) -> None:
    """Appends entries: profile, occurred_at_us, event_id, type, source, joined by tabs, as `escaped` makes them.

    An entry that is there already is a unique violation, unless `some_may_be_there`, which costs twice as much.
    """
    columns = "(profile_id, occurred_at_us, event_id, type, source)"
    cursor = bulk_cursor(connection)
    if not some_may_be_there:
        await copy_rows(cursor, f"timeline_entry {columns}", rows)
        return
    await cursor.execute(b"CREATE TEMPORARY TABLE arriving (LIKE timeline_entry) ON COMMIT DROP")
    await copy_rows(cursor, f"arriving {columns}", rows)
    await cursor.execute(b"INSERT INTO timeline_entry SELECT * FROM arriving ON CONFLICT DO NOTHING")
