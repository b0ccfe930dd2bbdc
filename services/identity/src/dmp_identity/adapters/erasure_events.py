"""The list of events whose personal fields have to go from the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from dmp_identity.adapters.bulk import Texts, bulk_cursor

Connection = psycopg.AsyncConnection[Any]


async def add_late_events(connection: Connection, events: Mapping[str, str]) -> None:
    """Adds events that came after the erasure: event -> erasure. The erasures are open again."""
    if not events:
        return
    cursor = bulk_cursor(connection)
    await cursor.execute(
        b"INSERT INTO erasure_event (erasure_id, event_id) SELECT k.erasure::uuid, k.event"
        b" FROM unnest(%s::text[], %s::text[]) AS k (erasure, event) ON CONFLICT DO NOTHING",
        (Texts(list(events.values())), Texts(list(events))),
    )
    await cursor.execute(
        b"UPDATE erasure SET confirmed_at_us = NULL WHERE id = ANY(%s::text[]::uuid[])",
        (Texts(sorted(set(events.values()))),),
    )


async def erased_events(connection: Connection, erasure_id: str, after: str, limit: int) -> list[tuple[str, bool]]:
    """Events of an erasure after one, in order of id, each with whether it is somebody else's."""
    cursor = await connection.execute(
        "SELECT event_id, is_others FROM erasure_event WHERE erasure_id = %s AND event_id > %s"
        " ORDER BY event_id LIMIT %s",
        (erasure_id, after, limit),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def forget_these_events(connection: Connection, erasure_id: str, event_ids: Sequence[str]) -> int:
    """Forgets some of an erasure's events; how many there were."""
    cursor = bulk_cursor(connection)
    await cursor.execute(
        b"DELETE FROM erasure_event WHERE erasure_id = %s::uuid AND event_id = ANY(%s::text[])",
        (erasure_id, Texts(list(event_ids))),
    )
    return cursor.rowcount


async def forget_events(connection: Connection, erasure_id: str, now_us: int) -> int:
    """Forgets an erasure's events and the person's identifiers; how many events there were."""
    cursor = await connection.execute("DELETE FROM erasure_event WHERE erasure_id = %s", (erasure_id,))
    await connection.execute("DELETE FROM erasure_key WHERE erasure_id = %s", (erasure_id,))
    await connection.execute("UPDATE erasure SET confirmed_at_us = %s WHERE id = %s", (now_us, erasure_id))
    return cursor.rowcount
