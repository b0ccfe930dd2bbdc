"""Reads and writes by which rules stored keys were made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.key_rules import StoredRules
from dmp_identity.domain.parsed_identifier import Key

Connection = psycopg.AsyncConnection[Any]
_SERVICE: Final = "dmp_identity"

_HAVE_KEYS: Final = """
SELECT k.type FROM unnest(%s::text[]) AS k (type)
WHERE EXISTS (SELECT FROM identifier i WHERE i.type = k.type) OR EXISTS (SELECT FROM weak_link w WHERE w.type = k.type)
"""

_STORED: Final = b"""
SELECT k.n
FROM unnest(%s::text[], %s::text[], %b::bigint[]) WITH ORDINALITY AS k (type, value, rules, n)
WHERE EXISTS (SELECT FROM identifier i WHERE i.type = k.type AND i.value = k.value AND i.rules = k.rules)
OR EXISTS (SELECT FROM weak_link w WHERE w.type = k.type AND w.value = k.value AND w.rules = k.rules)
OR EXISTS (SELECT FROM anonymous_profile a WHERE a.type = k.type AND a.value = k.value)
"""


async def load_rules(connection: Connection) -> list[StoredRules]:
    """All rules that keys were ever made by."""
    cursor = await connection.execute("SELECT type, number, rules, in_use FROM key_rules ORDER BY type, number")
    return [StoredRules(*row) for row in await cursor.fetchall()]


async def types_with_keys(connection: Connection, types: Sequence[str]) -> set[str]:
    """Those of the types of which keys are stored."""
    cursor = await connection.execute(_HAVE_KEYS, (list(types),))
    return {row[0] for row in await cursor.fetchall()}


async def hold_rules(connection: Connection) -> None:
    """Holds off others who would store rules, to the end of the transaction."""
    await connection.execute("LOCK TABLE key_rules IN SHARE ROW EXCLUSIVE MODE")


async def store_rules(connection: Connection, rules: Iterable[StoredRules]) -> None:
    """Adds rules, or says anew whether they are in use."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO key_rules (type, number, rules, in_use) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (type, number) DO UPDATE SET in_use = excluded.in_use",
            [(one.type, one.number, one.text, one.in_use) for one in rules],
        )


async def stored_among(connection: Connection, keys: Sequence[tuple[int, Key]]) -> set[tuple[int, Key]]:
    """Which of these keys are stored. Each key comes with a number of rules. It counts as stored if an identifier has
    this key and this number, or if the key has an anonymous profile.
    """
    cursor = bulk_cursor(connection)
    await cursor.execute(
        _STORED,
        (
            Texts([key[0] for _, key in keys]),
            Texts([key[1] for _, key in keys]),
            Bigints([number for number, _ in keys]),
        ),
    )
    return {keys[row[0] - 1] for row in await cursor.fetchall()}


def application_name(policy: IdentifierPolicy) -> str:
    """The name under which a process connects: it tells others by which rules it makes keys."""
    rules = "\n".join(f"{name}: {kind.normalise.text}" for name, kind in sorted(policy.types.items()))
    return f"{_SERVICE} {hashlib.sha256(rules.encode()).hexdigest()[:12]}"


async def other_rules_running(connection: Connection, policy: IdentifierPolicy) -> bool:
    """Whether a process is connected that makes keys by other rules, or by those of a release that did not say so."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND (application_name = %(service)s OR application_name LIKE %(any)s)"
        " AND application_name <> %(mine)s AND application_name NOT LIKE %(mine_too)s)",
        {
            "service": _SERVICE,
            "any": f"{_SERVICE} %",
            "mine": application_name(policy),
            "mine_too": f"{application_name(policy)} %",
        },
    )
    row = await cursor.fetchone()
    return bool(row is not None and row[0])
