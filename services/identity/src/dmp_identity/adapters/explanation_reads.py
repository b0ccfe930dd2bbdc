"""Reads what explanations and drawings need: arrivals, pairs, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Texts, bulk_cursor
from dmp_identity.domain.explain import Link, SeenIdentifier
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.refusal_reason import PLACEHOLDERS, RefusalReason

Connection = psycopg.AsyncConnection[Any]
_MOST_REFUSALS: Final = 50
_RULES_ABOUT_A_VALUE: Final = (
    *sorted(PLACEHOLDERS),
    RefusalReason.TOO_LONG,
    RefusalReason.ROUNDED,
    RefusalReason.UNKNOWN_TYPE,
    RefusalReason.SHARED,
    RefusalReason.LIMIT,
)

_ARRIVALS: Final = """
SELECT type, value, profile_id, cause, ref, source, first_seen_at_us, via_type, via_value
FROM identifier WHERE profile_id = ANY(%s)
ORDER BY first_seen_at_us, ordinal
LIMIT %s
"""

_PAIRS: Final = b"""
SELECT p.type_a, p.value_a, p.type_b, p.value_b, p.cause, p.ref, p.source, p.at_us
FROM unnest(%s::text[], %s::text[]) AS k (type, value)
JOIN identifier_pair p ON p.type_a = k.type AND p.value_a = k.value
"""

_REFUSED: Final = """
SELECT rule, type, value, profile_id, other_profile_id, times, first_at_us, last_at_us, ref, source
FROM review
"""


class StoredRefusal(msgspec.Struct, frozen=True):
    """Evidence that was not followed, counted."""

    rule: str
    type: str
    value: str
    profile: int
    other: int
    times: int
    first_at_us: int
    last_at_us: int
    ref: str
    source: str


async def arrivals_at(
    connection: Connection, profiles: Sequence[int], strong_types: Mapping[str, bool], limit: int
) -> list[SeenIdentifier]:
    """The profiles' strong identifiers in order of arrival. `strong_types`: type -> is it strong now."""
    cursor = await connection.execute(_ARRIVALS, (list(profiles), limit))
    return [
        SeenIdentifier(
            key=(kind, value),
            profile=profile,
            cause=cause,
            ref=ref,
            source=source,
            at_us=at_us,
            via=None if via_type is None else (via_type, via_value),
            via_strong=strong_types.get(via_type, True),
        )
        for kind, value, profile, cause, ref, source, at_us, via_type, via_value in await cursor.fetchall()
    ]


async def pairs_among(connection: Connection, keys: Sequence[Key]) -> list[Link]:
    """What was seen together among these identifiers."""
    known = set(keys)
    cursor = bulk_cursor(connection)
    await cursor.execute(_PAIRS, (Texts([key[0] for key in keys]), Texts([key[1] for key in keys])))
    return [
        Link(
            a=(type_a, value_a),
            b=(type_b, value_b),
            cause=cause,
            ref=ref,
            source=source,
            at_us=at_us,
            rule="seen_together",
            merge_id="",
        )
        for type_a, value_a, type_b, value_b, cause, ref, source, at_us in await cursor.fetchall()
        if (type_b, value_b) in known
    ]


async def refusals_between(
    connection: Connection, first: Sequence[int], second: Sequence[int], keys: Sequence[Key]
) -> list[StoredRefusal]:
    """What was refused between the profiles of two people, or about one of the identifiers; the last one first."""
    found: dict[tuple[Any, ...], StoredRefusal] = {}
    cursor = await connection.execute(
        f"{_REFUSED} WHERE profile_id = ANY(%s) AND other_profile_id = ANY(%s)"
        " OR profile_id = ANY(%s) AND other_profile_id = ANY(%s) ORDER BY last_at_us DESC LIMIT %s".encode(),
        (list(first), list(second), list(second), list(first), _MOST_REFUSALS),
    )
    rows = await cursor.fetchall()
    for key in keys:
        for rule in _RULES_ABOUT_A_VALUE:
            cursor = await connection.execute(
                f"{_REFUSED} WHERE rule = %s AND type = %s AND value = %s ORDER BY last_at_us DESC LIMIT 1".encode(),
                (rule, *key),
            )
            rows += await cursor.fetchall()
    for row in rows:
        found.setdefault(tuple(row[:5]), StoredRefusal(*row))
    return list(found.values())


async def shared_weak_identifiers(
    connection: Connection, first: Sequence[int], second: Sequence[int], limit: int
) -> list[Key]:
    """Weak identifiers that profiles of both people have."""
    cursor = await connection.execute(
        """
        SELECT DISTINCT a.type, a.value FROM weak_link a
        JOIN weak_link b ON b.type = a.type AND b.value = a.value AND b.profile_id = ANY(%s)
        WHERE a.profile_id = ANY(%s) ORDER BY 1, 2 LIMIT %s
        """,
        (list(second), list(first), limit),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def list_refusals(
    connection: Connection, *, rule: str, profiles: Sequence[int] | None, until_us: int, limit: int, skip: int
) -> list[StoredRefusal]:
    """Refusals, the last one first: at most `limit` of those up to `until_us`, without the first `skip` of these."""
    conditions = ["last_at_us <= %s"]
    values: list[Any] = [until_us]
    if rule:
        conditions.append("rule = %s")
        values.append(rule)
    if profiles is not None:
        conditions.append("profile_id = ANY(%s)")
        values.append(list(profiles))
    statement = (
        f"{_REFUSED} WHERE {' AND '.join(conditions)}"
        " ORDER BY last_at_us DESC, rule, type, value, profile_id, other_profile_id LIMIT %s OFFSET %s"
    )
    cursor = await connection.execute(statement.encode(), (*values, limit, skip))
    return [StoredRefusal(*row) for row in await cursor.fetchall()]
