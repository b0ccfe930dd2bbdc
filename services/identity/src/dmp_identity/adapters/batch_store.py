"""The inbox and the timelines: what applying a batch writes besides the graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import bulk_cursor, copy_rows
from dmp_identity.adapters.graph_version import SERVER
from dmp_identity.domain.snapshot import GraphVersion

_REMEMBER: Final = f"""
WITH noted AS (INSERT INTO inbox (batch_id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1)
SELECT coalesce((SELECT max(erased_at_us) FROM erasure), 0), {SERVER}, v.people, v.evidence
FROM noted, graph_version v
""".encode()  # noqa: S608  # no input in it


async def remember_batch(connection: psycopg.AsyncConnection[Any], batch_id: str) -> tuple[int, GraphVersion] | None:
    """Notes that this transaction applies the batch; None if another one has. Waits for one that is about to.

    Otherwise returns when a person was erased last, in microseconds since 1970, 0 if nobody ever was, and the version
    of the graph.
    """
    cursor = await connection.execute(_REMEMBER, (batch_id,))
    row = await cursor.fetchone()
    return None if row is None else (row[0], GraphVersion(*row[1:]))


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
