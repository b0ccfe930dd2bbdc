"""The list of events whose personal fields have to go from the log.

It is kept in pages, the ids of one slice of an erasure in each: a row for each event costs three times as much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import psycopg

from dmp_identity.adapters.bulk import Texts, bulk_cursor

Connection = psycopg.AsyncConnection[Any]

_ADD: Final = b"""
INSERT INTO erasure_page (erasure_id, is_others, events, event_ids) VALUES (%s::uuid, false, %s::integer, %s::text[])
"""
# Pages from one on, as many as are needed for so many events.
_PAGES: Final = b"""
SELECT page, is_others, event_ids FROM erasure_page WHERE page IN (
  SELECT page FROM (
    SELECT page, sum(events) OVER (ORDER BY page) - events AS before FROM erasure_page
    WHERE erasure_id = %s::uuid AND page >= %s::bigint
  ) AS p WHERE before < %s::bigint
) ORDER BY page
"""


class Place(NamedTuple):
    """A place in the list: after this event of this page. Within a page events are in order of id."""

    page: int = 0
    event_id: str = ""


class ListedEvent(NamedTuple):
    """An event of the list. is_others: it is somebody else's."""

    place: Place
    is_others: bool


async def add_late_events(connection: Connection, events: Mapping[str, str]) -> None:
    """Adds events that came after the erasure: event -> erasure. The erasures are open again."""
    if not events:
        return
    by_erasure: dict[str, list[str]] = defaultdict(list)
    for event, erasure in events.items():
        by_erasure[erasure].append(event)
    cursor = bulk_cursor(connection)
    for erasure, ids in by_erasure.items():
        await cursor.execute(_ADD, (erasure, len(ids), Texts(sorted(ids))))
    await cursor.execute(
        b"UPDATE erasure SET confirmed_at_us = NULL WHERE id = ANY(%s::text[]::uuid[])", (Texts(sorted(by_erasure)),)
    )


async def erased_events(connection: Connection, erasure_id: str, after: Place, limit: int) -> list[ListedEvent]:
    """Events of an erasure after a place in the list."""
    cursor = bulk_cursor(connection)
    # The first page may have been listed almost to its end.
    await cursor.execute(_PAGES, (erasure_id, after.page, limit + 1))
    found = [
        ListedEvent(Place(page, event_id), is_others)
        for page, is_others, event_ids in await cursor.fetchall()
        for event_id in event_ids
        if page != after.page or event_id > after.event_id
    ]
    return found[:limit]


async def forget_these_events(connection: Connection, erasure_id: str, event_ids: Collection[str]) -> int:
    """Forgets some of an erasure's events; how many there were. Quick for those that the list begins with."""
    left, count, page = set(event_ids), 0, 0
    cursor = bulk_cursor(connection)
    while left:
        await cursor.execute(_PAGES + b"FOR UPDATE", (erasure_id, page, len(left)))
        pages = await cursor.fetchall()
        if not pages:
            break
        for page, _, listed in pages:  # the last one is needed
            kept = [event_id for event_id in listed if event_id not in left]
            count += len(listed) - len(kept)
            left.difference_update(listed)
            if not kept:
                await cursor.execute(b"DELETE FROM erasure_page WHERE page = %s", (page,))
            elif len(kept) < len(listed):
                await cursor.execute(
                    b"UPDATE erasure_page SET events = %s::integer, event_ids = %s::text[] WHERE page = %s::bigint",
                    (len(kept), Texts(kept), page),
                )
        page += 1
    return count


async def forget_events(connection: Connection, erasure_id: str, now_us: int) -> int:
    """Forgets an erasure's events and the person's identifiers; how many events there were."""
    cursor = await connection.execute(
        "WITH gone AS (DELETE FROM erasure_page WHERE erasure_id = %s RETURNING events)"
        " SELECT coalesce(sum(events), 0)::integer FROM gone",
        (erasure_id,),
    )
    row = await cursor.fetchone()
    await connection.execute("DELETE FROM erasure_key WHERE erasure_id = %s", (erasure_id,))
    await connection.execute("UPDATE erasure SET confirmed_at_us = %s WHERE id = %s", (now_us, erasure_id))
    return 0 if row is None else int(row[0])
