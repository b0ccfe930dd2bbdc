"""Reads people: their profiles, identifiers, possible matches, and pages of their timelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Bigints, bulk_cursor
from dmp_identity.domain.attribution import Candidate
from dmp_identity.domain.parsed_identifier import Key

Connection = psycopg.AsyncConnection[Any]
MOST_WEAK: Final = 1000
MOST_MATCHES: Final = 100
_COMPARED_VALUES: Final = 200
_RARE: Final = 200
_LOOKED_AT: Final = 2000

_IDENTIFIERS: Final = """
SELECT type, value, coalesce(shown, value), first_seen_at_us, ordinal
FROM identifier WHERE profile_id = ANY(%s)
ORDER BY first_seen_at_us, ordinal
"""

# The newest of each type, found type by type in the index.
_WEAK: Final = """
WITH RECURSIVE kind AS (
  SELECT m.id, (SELECT min(l.type) FROM weak_link l WHERE l.profile_id = m.id) AS type
  FROM unnest(%s::bigint[]) AS m (id)
  UNION ALL
  SELECT k.id, (SELECT min(l.type) FROM weak_link l WHERE l.profile_id = k.id AND l.type > k.type)
  FROM kind k WHERE k.type IS NOT NULL
)
SELECT w.type, w.value, coalesce(w.shown, w.value), w.first_seen_at_us, w.ordinal
FROM kind k
CROSS JOIN LATERAL (
  SELECT * FROM weak_link l WHERE l.profile_id = k.id AND l.type = k.type
  ORDER BY l.first_seen_at_us DESC, l.ordinal DESC LIMIT %s
) w
WHERE k.type IS NOT NULL
ORDER BY w.first_seen_at_us, w.ordinal
"""

_HOW_MANY: Final = """
SELECT k.n, c.holders
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS k (type, value, n)
CROSS JOIN LATERAL (
  SELECT count(*) AS holders FROM (
    SELECT FROM weak_link w WHERE w.type = k.type AND w.value = k.value LIMIT %s
  ) h
) c
WHERE c.holders > 1
ORDER BY c.holders, k.n
LIMIT %s
"""

_MATCHES: Final = """
SELECT t.id, t.type, t.value
FROM (
  SELECT DISTINCT ON (p.root_id) p.root_id AS id, k.type, k.value, k.n
  FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS k (type, value, n)
  CROSS JOIN LATERAL (
    SELECT w.profile_id FROM weak_link w WHERE w.type = k.type AND w.value = k.value ORDER BY w.profile_id LIMIT %s
  ) w
  JOIN profile p ON p.id = w.profile_id AND p.root_id <> %s
  ORDER BY p.root_id, k.n
) t
ORDER BY t.n, t.id
LIMIT %s OFFSET %s
"""

_HOLDERS: Final = """
SELECT DISTINCT r.created_at_us, r.id, r.identified
FROM (
  SELECT profile_id FROM weak_link WHERE type = %s AND value = %s ORDER BY profile_id LIMIT %s
) w
JOIN profile p ON p.id = w.profile_id JOIN profile r ON r.id = p.root_id
ORDER BY 1, 2
"""


_PROFILES: Final = b"""
SELECT p.id, p.root_id, r.created_at_us, r.identified
FROM profile p JOIN profile r ON r.id = p.root_id WHERE p.id = ANY(%b)
"""


class StoredProfile(msgspec.Struct, frozen=True):
    """A profile and its person.

    id: the profile's own id.
    root: the person's oldest profile.
    root_created_at_us: when that was made.
    root_identified: True if the person has a strong identifier.
    """

    id: int
    root: int
    root_created_at_us: int
    root_identified: bool


class ExportedIdentifier(msgspec.Struct, frozen=True):
    """An identifier with its origin; weak ones have no `ref` and `source`."""

    type: str
    value: str
    shown: str
    profile: int
    first_seen_at_us: int
    ref: str
    source: str


class ShownIdentifier(msgspec.Struct, frozen=True):
    """An identifier of a person, as it is shown."""

    type: str
    value: str
    shown: str
    first_seen_at_us: int


async def find_root(connection: Connection, profile_id: int) -> int | None:
    """The oldest profile of the cluster that has this profile, None if there is no such profile."""
    cursor = await connection.execute("SELECT root_id FROM profile WHERE id = %s", (profile_id,))
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def find_profiles(connection: Connection, ids: Sequence[int]) -> dict[int, StoredProfile]:
    """The profiles that exist among these, by id."""
    cursor = bulk_cursor(connection)
    await cursor.execute(_PROFILES, (Bigints(list(ids)),))
    return {row[0]: StoredProfile(*row) for row in await cursor.fetchall()}


async def members_of(connection: Connection, root: int) -> list[int]:
    """All profiles of a cluster, the oldest first: the person's own and those that were merged into it."""
    cursor = await connection.execute(
        "SELECT id FROM profile WHERE root_id = %s AND root_id <> id ORDER BY created_at_us, id", (root,)
    )
    return [root, *(row[0] for row in await cursor.fetchall())]


async def identifiers_of(connection: Connection, members: Sequence[int]) -> list[ShownIdentifier]:
    """Strong identifiers, then weak ones, both in the order in which they were first seen; a weak one once.

    Of the weak ones the newest, at least MOST_WEAK and one more of each type, if there are so many.
    """
    cursor = await connection.execute(_IDENTIFIERS, (list(members),))
    shown = [ShownIdentifier(*row[:4]) for row in await cursor.fetchall()]
    cursor = await connection.execute(_WEAK, (list(members), MOST_WEAK + 1))
    weak: dict[Key, ShownIdentifier] = {}
    for row in await cursor.fetchall():
        weak.setdefault((row[0], row[1]), ShownIdentifier(*row[:4]))
    return [*shown, *weak.values()]


async def exported_identifiers(connection: Connection, members: Sequence[int]) -> list[ExportedIdentifier]:
    """All identifiers, strong ones first, each in the order in which they were first seen."""
    cursor = await connection.execute(
        "SELECT type, value, coalesce(shown, value), profile_id, first_seen_at_us, ref, source"
        " FROM identifier WHERE profile_id = ANY(%s) ORDER BY first_seen_at_us, ordinal",
        (list(members),),
    )
    rows = await cursor.fetchall()
    # Those that became part of another one stay what this person showed.
    cursor = await connection.execute(
        "SELECT type, value, coalesce(shown, value), profile_id, first_seen_at_us, ref, source"
        " FROM former_identifier WHERE profile_id = ANY(%s) ORDER BY first_seen_at_us, ordinal",
        (list(members),),
    )
    rows += await cursor.fetchall()
    cursor = await connection.execute(
        "SELECT type, value, coalesce(shown, value), profile_id, first_seen_at_us, '', ''"
        " FROM weak_link WHERE profile_id = ANY(%s) ORDER BY first_seen_at_us, ordinal",
        (list(members),),
    )
    return [ExportedIdentifier(*row) for row in (*rows, *await cursor.fetchall())]


async def possible_matches(
    connection: Connection, root: int, weak: Sequence[Key], skip: int
) -> list[tuple[int, str, str]]:
    """Other people who have a weak identifier in common with a person: (person, type, value), each once.

    The rarest identifiers come first, of equally rare ones the newest. At most MOST_MATCHES and one more, after the
    first `skip`.
    weak: the person's weak identifiers, the oldest first.
    Costs a look at up to 200 identifiers, and at up to 2000 profiles of each.
    """
    newest = list(reversed(weak))
    given = ([key[0] for key in newest], [key[1] for key in newest])
    cursor = await connection.execute(_HOW_MANY, (*given, _RARE + 1, _COMPARED_VALUES))
    kept = [newest[n - 1] for n, _ in await cursor.fetchall()]
    if not kept:
        return []
    given = ([key[0] for key in kept], [key[1] for key in kept])
    cursor = await connection.execute(_MATCHES, (*given, _LOOKED_AT, root, MOST_MATCHES + 1, skip))
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def owner_of(connection: Connection, key: Key) -> int | None:
    """The person who has a strong identifier, None if nobody has."""
    cursor = await connection.execute(
        "SELECT p.root_id FROM identifier i JOIN profile p ON p.id = i.profile_id WHERE i.type = %s AND i.value = %s",
        key,
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def candidates_for(connection: Connection, key: Key) -> list[Candidate]:
    """The people who have a weak identifier, the oldest first."""
    cursor = await connection.execute(_HOLDERS, (*key, _LOOKED_AT))
    return [Candidate(root, root, identified) for _, root, identified in await cursor.fetchall()]


async def anonymous_of(connection: Connection, key: Key) -> int | None:
    """The anonymous profile of an identifier, None if there is none that is still anonymous."""
    cursor = await connection.execute(
        """
        SELECT r.id FROM anonymous_profile a JOIN profile p ON p.id = a.profile_id JOIN profile r ON r.id = p.root_id
        WHERE a.type = %s AND a.value = %s AND NOT r.identified
        """,
        key,
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def weak_identifiers_of(connection: Connection, members: Sequence[int], limit: int) -> list[tuple[int, Key, int]]:
    """Profile, weak identifier and when it was first seen there, in that order of time."""
    cursor = await connection.execute(
        "SELECT profile_id, type, value, first_seen_at_us FROM weak_link WHERE profile_id = ANY(%s)"
        " ORDER BY first_seen_at_us, ordinal LIMIT %s",
        (list(members), max(limit, 0)),
    )
    return [(row[0], (row[1], row[2]), row[3]) for row in await cursor.fetchall()]
