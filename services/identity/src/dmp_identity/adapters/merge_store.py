"""Reads and writes what merging by hand, undoing and keeping apart need. Callers hold the merge lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Bigints, bulk_cursor
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.plan import NewMerge

Connection = psycopg.AsyncConnection[Any]

_PROFILES: Final = b"""
SELECT p.id, p.root_id, r.created_at_us, r.identified
FROM profile p JOIN profile r ON r.id = p.root_id WHERE p.id = ANY(%b)
"""

_APART: Final = b"""
WITH member AS MATERIALIZED (
  SELECT r.id, r.id AS root_id FROM unnest(%b::bigint[]) AS r (id)
  UNION ALL
  SELECT p.id, p.root_id FROM unnest(%b::bigint[]) AS r (id) JOIN profile p ON p.root_id = r.id AND p.root_id <> p.id
)
SELECT a.root_id, b.root_id
FROM member a JOIN never_merge n ON n.profile_a = a.id AND n.removed_at_us IS NULL JOIN member b ON b.id = n.profile_b
"""


class StoredProfile(msgspec.Struct, frozen=True):
    """A profile and its person: when that was made and whether it has a strong identifier."""

    id: int
    root: int
    root_created_at_us: int
    root_identified: bool


async def find_profiles(connection: Connection, ids: Sequence[int]) -> dict[int, StoredProfile]:
    """The profiles that exist among these, by id."""
    cursor = bulk_cursor(connection)
    await cursor.execute(_PROFILES, (Bigints(list(ids)),))
    return {row[0]: StoredProfile(*row) for row in await cursor.fetchall()}


async def pairs_apart(connection: Connection, roots: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs among these people that somebody said are different."""
    given = Bigints(list(roots))
    cursor = bulk_cursor(connection)
    await cursor.execute(_APART, (given, given))
    return [(a, b) for a, b in await cursor.fetchall()]


async def store_merge(
    connection: Connection, merge_id: str, merge: NewMerge, *, reason: str, identified: bool, now_us: int
) -> None:
    """Writes one act of merging people that exist, whose edges all have the same survivor."""
    survivor = merge.edges[0].survivor
    await connection.execute(
        "INSERT INTO merge (id, cause, ref, source, reason, merged_at_us) VALUES (%s, %s, %s, %s, %s, %s)",
        (merge_id, merge.cause, merge.ref, merge.source, reason, now_us),
    )
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO merge_edge (merge_id, ordinal, survivor_id, merged_id, profile_a, profile_b,"
            " type_a, value_a, type_b, value_b) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (merge_id, n, e.survivor, e.merged, e.profile_a, e.profile_b, *_key(e.key_a), *_key(e.key_b))
                for n, e in enumerate(merge.edges)
            ],
        )
    await move_to_roots(connection, {edge.merged: survivor for edge in merge.edges})
    if identified:
        await connection.execute("UPDATE profile SET identified = true WHERE id = %s AND NOT identified", (survivor,))


def _key(key: Key | None) -> tuple[str | None, str | None]:
    return (None, None) if key is None else key


async def move_to_roots(connection: Connection, roots: Mapping[int, int]) -> None:
    """Makes every profile of the old roots' clusters answer with the new ones."""
    for old, new in roots.items():
        await connection.execute("UPDATE profile SET root_id = %s WHERE root_id = %s AND root_id <> id", (new, old))
        await connection.execute("UPDATE profile SET root_id = %s WHERE id = %s", (new, old))
