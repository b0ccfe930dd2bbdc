"""Reads and writes weak identifiers, anonymous profiles and refusals under the values that other rules make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor
from dmp_identity.adapters.respelling_store import WeakLink

Connection = psycopg.AsyncConnection[Any]

_MOVE_LINKS: Final = b"""
WITH gone AS (
  DELETE FROM weak_link w
  USING unnest(%s::text[], %s::text[], %b::bigint[], %s::text[]) AS k (type, value, profile_id, new)
  WHERE w.type = k.type AND w.value = k.value AND w.profile_id = k.profile_id
  RETURNING w.*, k.new
)
INSERT INTO weak_link (type, value, profile_id, first_seen_at_us, ordinal, shown, rules)
SELECT DISTINCT ON (type, new, profile_id)
  type, new, profile_id, first_seen_at_us, ordinal, nullif(coalesce(shown, value), new), %s
FROM gone ORDER BY type, new, profile_id, first_seen_at_us, ordinal
ON CONFLICT DO NOTHING
"""

_MOVE_ANONYMOUS: Final = b"""
WITH gone AS (
  DELETE FROM anonymous_profile a USING unnest(%s::text[], %s::text[], %s::text[]) AS k (type, value, new)
  WHERE a.type = k.type AND a.value = k.value
  RETURNING a.type, k.new, a.profile_id
)
INSERT INTO anonymous_profile (type, value, profile_id)
SELECT type, new, min(profile_id) FROM gone GROUP BY type, new
ON CONFLICT DO NOTHING
"""


async def link_page(connection: Connection, type_name: str, after: tuple[str, int], limit: int) -> list[WeakLink]:
    """Weak identifiers of a type after a value and a profile, in order."""
    cursor = await connection.execute(
        "SELECT type, value, coalesce(shown, value), profile_id, rules FROM weak_link"
        ' WHERE type = %s AND (value, profile_id) > (%s::text COLLATE "C", %s::bigint)'
        " ORDER BY value, profile_id LIMIT %s",
        (type_name, *after, limit),
    )
    return [WeakLink(*row) for row in await cursor.fetchall()]


async def number_links_anew(connection: Connection, links: Sequence[WeakLink], number: int) -> None:
    """Says of weak identifiers whose values stay that other rules made them."""
    await bulk_cursor(connection).execute(
        b"UPDATE weak_link w SET rules = %s"
        b" FROM unnest(%s::text[], %s::text[], %b::bigint[]) AS k (type, value, profile_id)"
        b" WHERE w.type = k.type AND w.value = k.value AND w.profile_id = k.profile_id",
        (number, *_columns(links)),
    )


async def move_links(connection: Connection, links: Mapping[WeakLink, str], number: int) -> None:
    """Puts weak identifiers under new values. One that the profile has already stays as it is."""
    cursor = bulk_cursor(connection)
    await cursor.execute(_MOVE_LINKS, (*_columns(list(links)), Texts(list(links.values())), number))
    await cursor.execute(
        b"UPDATE identifier i SET via_value = k.new"
        b" FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (type, old, new)"
        b" WHERE i.via_type = k.type AND i.via_value = k.old",
        (Texts([one.type for one in links]), Texts([one.value for one in links]), Texts(list(links.values()))),
    )


async def anonymous_page(connection: Connection, type_name: str, after: str, limit: int) -> list[str]:
    """Values of a type that have an anonymous profile, after one, in order."""
    cursor = await connection.execute(
        "SELECT value FROM anonymous_profile WHERE type = %s AND value > %s ORDER BY value LIMIT %s",
        (type_name, after, limit),
    )
    return [row[0] for row in await cursor.fetchall()]


async def move_anonymous(connection: Connection, type_name: str, values: Mapping[str, str]) -> None:
    """Puts anonymous profiles under new values; of several the one that was made first stays the value's.

    What replicas remember of anonymous profiles is true of a version of the graph, so this makes another one.
    """
    await bulk_cursor(connection).execute(
        _MOVE_ANONYMOUS,
        (Texts([type_name] * len(values)), Texts(list(values)), Texts(list(values.values()))),
    )
    await connection.execute("UPDATE graph_version SET evidence = evidence + 1 WHERE is_only")


async def refused_values_page(
    connection: Connection, type_name: str, after: str, limit: int, *, rule: str
) -> list[str]:
    """Values of a type that were refused under a rule, after one, in order."""
    cursor = await connection.execute(
        "SELECT DISTINCT value FROM review WHERE rule = %s AND type = %s AND value > %s ORDER BY value LIMIT %s",
        (rule, type_name, after, limit),
    )
    return [row[0] for row in await cursor.fetchall()]


async def drop_announced(connection: Connection, rules: Sequence[str], type_name: str) -> None:
    """Takes what a dry run announced off the review list."""
    await connection.execute("DELETE FROM review WHERE rule = ANY(%s) AND type = %s", (list(rules), type_name))


def _columns(links: Sequence[WeakLink]) -> tuple[Texts, Texts, Bigints]:
    return (
        Texts([one.type for one in links]),
        Texts([one.value for one in links]),
        Bigints([one.profile for one in links]),
    )
