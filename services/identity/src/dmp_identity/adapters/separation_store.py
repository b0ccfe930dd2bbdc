"""Reads and writes what taking identifiers from people needs. Callers hold the merge lock, but for lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor
from dmp_identity.domain.parsed_identifier import Key

Connection = psycopg.AsyncConnection[Any]

_THROUGH: Final = """
SELECT m.id::text FROM merge m
WHERE m.undone_at_us IS NULL AND m.id IN (
  SELECT e.merge_id FROM merge_edge e WHERE e.type_a = %(type)s AND e.value_a = %(value)s
  UNION
  SELECT e.merge_id FROM merge_edge e WHERE e.type_b = %(type)s AND e.value_b = %(value)s
)
ORDER BY m.merged_at_us DESC, m.id DESC
LIMIT %(limit)s
"""

_SHARED: Final = """
SELECT i.type, i.value, p.root_id, i.shared_at_us, (
  SELECT count(*) FROM (
    SELECT e.merge_id FROM merge_edge e JOIN merge m ON m.id = e.merge_id AND m.undone_at_us IS NULL
    WHERE e.type_a = i.type AND e.value_a = i.value
    UNION
    SELECT e.merge_id FROM merge_edge e JOIN merge m ON m.id = e.merge_id AND m.undone_at_us IS NULL
    WHERE e.type_b = i.type AND e.value_b = i.value
  ) t
), (
  SELECT count(*) FROM identifier o
  WHERE o.via_type = i.type AND o.via_value = i.value AND o.profile_id = i.profile_id
)
FROM identifier i JOIN profile p ON p.id = i.profile_id
WHERE i.shared_at_us IS NOT NULL AND (i.shared_at_us, i.type, i.value) < (%s, %s, %s)
ORDER BY i.shared_at_us DESC, i.type DESC, i.value DESC
LIMIT %s
"""

# What the arrivals show is noted as pairs before they move: who arrived where says it no more then.
_NOTE_PAIRS: Final = b"""
WITH moving AS MATERIALIZED (
  SELECT i.* FROM unnest(%s::text[], %s::text[]) AS k (type, value)
  JOIN identifier i ON i.type = k.type AND i.value = k.value
), beside AS MATERIALIZED (
  SELECT * FROM identifier WHERE profile_id IN (SELECT profile_id FROM moving)
), pair AS (
  SELECT ARRAY[m.type, m.value] AS one, ARRAY[v.type, v.value] AS other, m.cause, m.ref, m.source, m.first_seen_at_us
  FROM moving m JOIN identifier v ON v.type = m.via_type AND v.value = m.via_value
  UNION ALL
  SELECT ARRAY[m.type, m.value], ARRAY[b.type, b.value], m.cause, m.ref, m.source, m.first_seen_at_us
  FROM moving m JOIN beside b ON b.profile_id = m.profile_id AND b.ref = m.ref
  WHERE (b.type, b.value) <> (m.type, m.value)
), ordered AS (
  SELECT least(one, other) AS first, greatest(one, other) AS second, cause, ref, source, first_seen_at_us FROM pair
)
INSERT INTO identifier_pair (type_a, value_a, type_b, value_b, cause, ref, source, at_us)
SELECT DISTINCT ON (o.first, o.second)
  o.first[1], o.first[2], o.second[1], o.second[2], o.cause, o.ref, o.source, o.first_seen_at_us
FROM ordered o
ORDER BY o.first, o.second, o.first_seen_at_us
ON CONFLICT DO NOTHING
"""

# Who had been one person with the old profile had been one with the new one.
_INHERIT_SEPARATIONS: Final = b"""
INSERT INTO separated_profile (separation_id, profile_id)
SELECT DISTINCT s.separation_id, k.profile_id
FROM unnest(%s::text[], %s::text[], %b::bigint[]) AS k (type, value, profile_id)
JOIN identifier i ON i.type = k.type AND i.value = k.value
JOIN separated_profile s ON s.profile_id = i.profile_id
ON CONFLICT DO NOTHING
"""

# What brought it stays known if that moves along.
_MOVE: Final = b"""
WITH moved AS MATERIALIZED (
  SELECT k.type, k.value, k.profile_id
  FROM unnest(%s::text[], %s::text[], %b::bigint[]) AS k (type, value, profile_id)
), place AS MATERIALIZED (
  SELECT k.type, k.value, k.profile_id, v.type AS via_type, v.value AS via_value
  FROM moved k
  JOIN identifier i ON i.type = k.type AND i.value = k.value
  LEFT JOIN moved v ON v.type = i.via_type AND v.value = i.via_value AND v.profile_id = k.profile_id
)
UPDATE identifier i SET profile_id = p.profile_id, via_type = p.via_type, via_value = p.via_value
FROM place p
WHERE i.type = p.type AND i.value = p.value
"""


class StoredIdentifier(msgspec.Struct, frozen=True):
    """Where a strong identifier arrived, whose it is, and whether it still matches."""

    profile: int
    root: int
    shared: bool


class SharedValue(msgspec.Struct, frozen=True):
    """A value that matches nobody any more.

    root: the person who had it first. merges: in force, made through it. attached: identifiers that it brought to its
    profile.
    """

    type: str
    value: str
    root: int
    shared_at_us: int
    merges: int
    attached: int


async def find_identifier(connection: Connection, key: Key) -> StoredIdentifier | None:
    """The identifier, None if nobody has it."""
    cursor = await connection.execute(
        "SELECT i.profile_id, p.root_id, i.shared_at_us IS NOT NULL FROM identifier i"
        " JOIN profile p ON p.id = i.profile_id WHERE i.type = %s AND i.value = %s",
        key,
    )
    row = await cursor.fetchone()
    return None if row is None else StoredIdentifier(*row)


async def merges_through(connection: Connection, key: Key, limit: int) -> list[str]:
    """Merges in force that the identifier made, the last one first."""
    cursor = await connection.execute(_THROUGH, {"type": key[0], "value": key[1], "limit": limit})
    return [row[0] for row in await cursor.fetchall()]


async def people_of_merges(connection: Connection, merge_ids: Sequence[str]) -> list[int]:
    """The people whom merges in force connect, each once."""
    cursor = await connection.execute(
        "SELECT DISTINCT p.root_id FROM merge_edge e JOIN profile p ON p.id = e.profile_a"
        " WHERE e.merge_id = ANY(%s::uuid[]) ORDER BY p.root_id",
        (list(merge_ids),),
    )
    return [row[0] for row in await cursor.fetchall()]


async def shared_values(connection: Connection, before: tuple[int, str, str], limit: int) -> list[SharedValue]:
    """Values that match nobody any more, the last one first, after a position."""
    cursor = await connection.execute(_SHARED, (*before, limit))
    return [SharedValue(*row) for row in await cursor.fetchall()]


async def share_value(connection: Connection, key: Key, now_us: int) -> None:
    """Makes the identifier match nobody from now on."""
    await connection.execute(
        "UPDATE identifier SET shared_at_us = %s WHERE type = %s AND value = %s AND shared_at_us IS NULL",
        (now_us, *key),
    )


async def move_to_new_profiles(connection: Connection, groups: Sequence[Sequence[Key]], now_us: int) -> list[int]:
    """Gives each group of identifiers a profile of its own; returns these, in order.

    What they were seen with, and who was one person with them, stays known.
    """
    cursor = await connection.execute(
        "INSERT INTO profile (id, root_id, created_at_us, identified)"
        " SELECT n.id, n.id, %s, true FROM (SELECT nextval('profile_ids') FROM generate_series(1, %s)) AS n (id)"
        " RETURNING id",
        (now_us, len(groups)),
    )
    profiles = sorted(row[0] for row in await cursor.fetchall())
    places: Mapping[Key, int] = {key: profile for profile, group in zip(profiles, groups, strict=True) for key in group}
    types, values = Texts([key[0] for key in places]), Texts([key[1] for key in places])
    moved = Bigints(list(places.values()))
    bulk = bulk_cursor(connection)
    await bulk.execute(_NOTE_PAIRS, (types, values))
    await bulk.execute(_INHERIT_SEPARATIONS, (types, values, moved))
    await bulk.execute(_MOVE, (types, values, moved))
    return profiles
