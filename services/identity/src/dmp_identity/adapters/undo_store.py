"""Stores the undo of a merge: the merge, the groups, the contacts, who was one person. Callers hold the merge lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, bulk_cursor
from dmp_identity.domain.undo_merge import ContactState

Connection = psycopg.AsyncConnection[Any]
_MOST: Final = 1000


async def mark_undone(connection: Connection, merge_id: str, reason: str, now_us: int) -> None:
    """Takes the merge out of force."""
    await connection.execute(
        "UPDATE merge SET undone_at_us = %s, undo_reason = %s WHERE id = %s", (now_us, reason, merge_id)
    )


async def regroup(connection: Connection, groups: Iterable[Sequence[int]]) -> None:
    """Makes the first profile of each group the root of the group; groups that are whole already cost a probe."""
    for group in groups:
        root, members = group[0], Bigints(list(group))
        cursor = bulk_cursor(connection)
        await cursor.execute(
            b"UPDATE profile SET root_id = %s WHERE id = ANY(%b) AND root_id <> %s", (root, members, root)
        )
        await cursor.execute(
            b"""
            UPDATE profile SET identified = EXISTS (SELECT FROM identifier i WHERE i.profile_id = ANY(%b)) WHERE id = %s
            """,
            (members, root),
        )


async def note_separation(connection: Connection, separation_id: str, profiles: Sequence[int]) -> None:
    """Remembers that these profiles were one person until now: each may have events that show the others."""
    await bulk_cursor(connection).execute(
        b"INSERT INTO separated_profile (separation_id, profile_id) SELECT %s::uuid, n FROM unnest(%b::bigint[]) AS n"
        b" ON CONFLICT DO NOTHING",
        (separation_id, Bigints(list(profiles))),
    )


async def contacts_made_by_merges(connection: Connection, contacts: Sequence[int]) -> dict[int, str]:
    """Contact -> the merge whose own request made it, for those that have one."""
    cursor = await connection.execute(
        "SELECT contact_id, merge_id::text FROM merge_contact WHERE contact_id = ANY(%s)", (list(contacts),)
    )
    return dict(await cursor.fetchall())


async def delete_contacts(connection: Connection, contacts: Sequence[int], now_us: int) -> None:
    """Soft-deletes rows."""
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    await connection.execute(
        'UPDATE contact SET "deletedAt" = %s, "updatedAt" = %s WHERE id = ANY(%s)', (now, now, list(contacts))
    )


async def set_contact_states(connection: Connection, states: dict[int, ContactState]) -> None:
    """Links rows anew."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            'UPDATE contact SET "linkedId" = %s, "linkPrecedence" = %s, "updatedAt" = %s WHERE id = %s',
            [
                (s.linked_id, "primary" if s.linked_id is None else "secondary", s.updated_at, contact)
                for contact, s in sorted(states.items())
            ],
        )
