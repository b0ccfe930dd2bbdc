"""Asks the database whether the profiles with a weak identifier are still those that the cache remembers."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor
from dmp_identity.adapters.graph_version import SERVER
from dmp_identity.domain.assumptions import Assumptions
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.snapshot import GraphVersion

_CHANGED: Final = f"""
SELECT 0, k.n
FROM unnest(%s::text[], %s::text[], %b::bigint[]) WITH ORDINALITY AS k (type, value, holders, n)
CROSS JOIN LATERAL (
  SELECT FROM weak_link w WHERE w.type = k.type AND w.value = k.value OFFSET k.holders LIMIT 1
) AS more
UNION ALL
SELECT 1, k.n
FROM unnest(%b::bigint[]) WITH ORDINALITY AS k (id, n) JOIN profile p ON p.id = k.id
WHERE p.identified
UNION ALL
SELECT 2, 0 FROM graph_version v WHERE ({SERVER}, v.people, v.evidence) <> (%s, %s, %s)
""".encode()  # noqa: S608  # no input in it


async def changed_keys(
    connection: psycopg.AsyncConnection[Any], assumptions: Assumptions, version: GraphVersion
) -> list[Key]:
    """Asks the database whether what the cache assumed still holds.

    Returns the identifiers of which it does not: one more profile has them, or their person is identified now. Returns
    all if the graph has another version.
    Costs one statement with an index look-up for each identifier: within a version profiles are only added, so the
    count tells.
    """
    held, anonymous = list(assumptions.profiles_with), list(assumptions.anonymous)
    cursor = bulk_cursor(connection)
    await cursor.execute(
        _CHANGED,
        (
            Texts([key[0] for key in held]),
            Texts([key[1] for key in held]),
            Bigints(list(assumptions.profiles_with.values())),
            Bigints([person for _, person in anonymous]),
            *version,
        ),
    )
    changed: list[Key] = []
    for kind, n in await cursor.fetchall():
        if kind == 2:
            return list(assumptions.events)
        changed.append(held[n - 1] if kind == 0 else anonymous[n - 1][0])
    return changed
