"""Stores which profiles are kept apart, and reads it. Writers hold the merge lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import bulk_cursor, copy_rows, escaped

Connection = psycopg.AsyncConnection[Any]
_MOST: Final = 1000


_NEVER: Final = """
SELECT id::text, profile_a, profile_b, reason, created_at_us, coalesce(merge_id::text, '')
FROM never_merge WHERE (profile_a = ANY(%s) OR profile_b = ANY(%s)) AND removed_at_us IS NULL
ORDER BY created_at_us, id LIMIT %s
"""


class StoredNeverMerge(msgspec.Struct, frozen=True):
    """What keeps two profiles' people apart."""

    id: str
    profile_a: int
    profile_b: int
    reason: str
    created_at_us: int
    merge_id: str


async def never_merges_of(connection: Connection, profiles: Sequence[int]) -> list[StoredNeverMerge]:
    """What is in force and concerns any of the profiles, oldest first."""
    given = list(profiles)
    cursor = await connection.execute(_NEVER, (given, given, _MOST))
    return [StoredNeverMerge(*row) for row in await cursor.fetchall()]


async def add_never_merges(connection: Connection, rows: Sequence[StoredNeverMerge]) -> None:
    """Keeps the pairs apart."""
    await copy_rows(
        bulk_cursor(connection),
        "never_merge (id, profile_a, profile_b, merge_id, reason, created_at_us)",
        (
            f"{row.id}\t{row.profile_a}\t{row.profile_b}\t{row.merge_id or chr(92) + 'N'}\t{escaped(row.reason)}\t"
            f"{row.created_at_us}"
            for row in rows
        ),
    )


async def remove_never_merge(connection: Connection, never_merge_id: str, reason: str, now_us: int) -> bool | None:
    """Takes it out of force: True if it was in force, False if it was not, None if there is none of this id."""
    cursor = await connection.execute(
        "SELECT removed_at_us FROM never_merge WHERE id = %s FOR UPDATE", (never_merge_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row[0] is not None:
        return False
    await connection.execute(
        "UPDATE never_merge SET removed_at_us = %s, removal_reason = %s WHERE id = %s", (now_us, reason, never_merge_id)
    )
    return True


async def sides_of(connection: Connection, never_merge_id: str) -> list[int]:
    """The two profiles that it keeps, or kept, apart; none if there is none of this id."""
    cursor = await connection.execute("SELECT profile_a, profile_b FROM never_merge WHERE id = %s", (never_merge_id,))
    row = await cursor.fetchone()
    return [] if row is None else list(row)
