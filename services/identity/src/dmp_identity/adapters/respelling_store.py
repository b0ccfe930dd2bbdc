"""Reads and writes stored identifiers for the job that reads values again by new rules. Writers have locked the graph
for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor, copy_rows, escaped, nullable
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.respelling import StoredIdentifier

Connection = psycopg.AsyncConnection[Any]

_COLUMNS: Final = """
  type, value, coalesce(shown, value), profile_id, {rules}, first_seen_at_us, ordinal, cause, ref, source,
  via_type, via_value, shared_at_us
"""

_PAGE: Final = f"""
SELECT {_COLUMNS.format(rules="rules")} FROM identifier WHERE type = %s AND value > %s ORDER BY value LIMIT %s
""".encode()  # noqa: S608  # no input in it

_WITH_VALUES: Final = f"""
SELECT {_COLUMNS.format(rules="rules")} FROM identifier WHERE type = %s AND value = ANY(%s)
""".encode()  # noqa: S608  # no input in it

_FORMER_PAGE: Final = f"""
SELECT {_COLUMNS.format(rules="0")}, part_of, merge_id::text FROM former_identifier
WHERE type = %s AND (value, profile_id) > (%s::text COLLATE "C", %s::bigint)
ORDER BY value, profile_id LIMIT %s
""".encode()  # noqa: S608  # no input in it

_PUT: Final = (
    "identifier (type, value, shown, profile_id, first_seen_at_us, ordinal, cause, ref, source,"
    " via_type, via_value, shared_at_us, rules)"
)

_PUT_FORMER: Final = b"""
INSERT INTO former_identifier (type, value, shown, profile_id, first_seen_at_us, ordinal, cause, ref, source,
  via_type, via_value, shared_at_us, part_of, merge_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""

_VIA: Final = b"""
UPDATE identifier i SET via_value = k.new
FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (type, old, new)
WHERE i.via_type = k.type AND i.via_value = k.old
"""

_FORMER_MOVED: Final = b"""
UPDATE former_identifier f SET part_of = k.new
FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (type, old, new)
WHERE f.type = k.type AND f.part_of = k.old
"""

_PAIRS_GONE: Final = b"""
DELETE FROM identifier_pair p
USING unnest(%s::text[], %s::text[], %s::text[]) AS k (type, old, new)
WHERE (p.type_a = k.type AND p.value_a = k.old)
RETURNING p.type_a, p.value_a, p.type_b, p.value_b, p.cause, p.ref, p.source, p.at_us
"""
_PAIRS_GONE_B: Final = _PAIRS_GONE.replace(
    b"p.type_a = k.type AND p.value_a = k.old", b"p.type_b = k.type AND p.value_b = k.old"
)

_EDGES: Final = """
UPDATE merge_edge e SET value_{side} = k.new
FROM unnest(%s::text[], %s::text[], %s::text[], %b::bigint[]) AS k (type, old, new, profile)
WHERE e.profile_{side} = k.profile AND e.type_{side} = k.type AND e.value_{side} = k.old
"""

_REVIEWED: Final = b"""
WITH gone AS (
  DELETE FROM review r
  USING unnest(%s::text[], %s::text[], %s::text[]) AS k (type, old, new), unnest(%s::text[]) AS u (rule)
  WHERE r.rule = u.rule AND r.type = k.type AND r.value = k.old
  RETURNING r.*, k.new
)
INSERT INTO review (rule, type, value, profile_id, other_profile_id, times, first_at_us, last_at_us, ref, source)
SELECT rule, type, new, profile_id, other_profile_id,
  sum(times), min(first_at_us), max(last_at_us), max(ref), max(source)
FROM gone GROUP BY rule, type, new, profile_id, other_profile_id
ON CONFLICT (rule, type, value, profile_id, other_profile_id) DO UPDATE SET
  times = review.times + excluded.times,
  first_at_us = least(review.first_at_us, excluded.first_at_us),
  last_at_us = greatest(review.last_at_us, excluded.last_at_us)
"""


class Move(msgspec.Struct, frozen=True):
    """A value of a type that becomes another one; profile: whose it is."""

    type: str
    old: str
    new: str
    profile: int


class WeakLink(msgspec.Struct, frozen=True):
    """A weak identifier of a profile, as it is stored."""

    type: str
    value: str
    shown: str
    profile: int
    rules: int


class FormerIdentifier(msgspec.Struct, frozen=True):
    """An identifier that became part of another one; merge_id: the merge that this made, None if it made none."""

    identifier: StoredIdentifier
    part_of: str
    merge_id: str | None


async def identifier_page(connection: Connection, type_name: str, after: str, limit: int) -> list[StoredIdentifier]:
    """The identifiers of a type after a value, in order."""
    cursor = await connection.execute(_PAGE, (type_name, after, limit))
    return [_identifier(row) for row in await cursor.fetchall()]


async def identifiers_with(connection: Connection, type_name: str, values: Sequence[str]) -> list[StoredIdentifier]:
    """The identifiers of a type that have one of the values."""
    cursor = await connection.execute(_WITH_VALUES, (type_name, list(values)))
    return [_identifier(row) for row in await cursor.fetchall()]


async def number_anew(connection: Connection, type_name: str, values: Mapping[str, int], number: int) -> None:
    """Says of identifiers whose values stay that other rules made them. values: value -> the number it has."""
    await bulk_cursor(connection).execute(
        b"UPDATE identifier i SET rules = %s FROM unnest(%s::text[], %b::bigint[]) AS k (value, rules)"
        b" WHERE i.type = %s AND i.value = k.value AND i.rules = k.rules",
        (number, Texts(list(values)), Bigints(list(values.values())), type_name),
    )


async def take_identifiers(connection: Connection, identifiers: Sequence[StoredIdentifier]) -> None:
    """Takes identifiers out, to put them back under other values."""
    await bulk_cursor(connection).execute(
        b"DELETE FROM identifier i USING unnest(%s::text[], %s::text[]) AS k (type, value)"
        b" WHERE i.type = k.type AND i.value = k.value",
        (Texts([one.type for one in identifiers]), Texts([one.value for one in identifiers])),
    )


async def put_identifiers(
    connection: Connection, identifiers: Sequence[tuple[StoredIdentifier, str]], number: int
) -> None:
    """Puts identifiers in under new values, made by the rules of the number."""
    await copy_rows(
        bulk_cursor(connection),
        _PUT,
        (f"{one.type}\t{escaped(value)}\t{_shown(one, value)}\t{_origin(one)}\t{number}" for one, value in identifiers),
    )


async def put_former(connection: Connection, rows: Sequence[FormerIdentifier]) -> None:
    """Keeps identifiers that became part of others."""
    for row in rows:
        one = row.identifier
        await connection.execute(
            _PUT_FORMER,
            (
                one.type,
                one.value,
                None if one.shown == one.value else one.shown,
                one.profile,
                one.first_seen_at_us,
                one.ordinal,
                one.cause,
                one.ref,
                one.source,
                *(one.via or (None, None)),
                one.shared_at_us,
                row.part_of,
                row.merge_id,
            ),
        )


async def former_page(
    connection: Connection, type_name: str, after: tuple[str, int], limit: int
) -> list[FormerIdentifier]:
    """Identifiers of a type that are part of others, after a value and a profile, in order."""
    cursor = await connection.execute(_FORMER_PAGE, (type_name, *after, limit))
    return [
        FormerIdentifier(identifier=_identifier(row[:13]), part_of=row[13], merge_id=row[14])
        for row in await cursor.fetchall()
    ]


async def drop_former(connection: Connection, row: FormerIdentifier) -> None:
    """Forgets that an identifier was part of another one."""
    await connection.execute(
        "DELETE FROM former_identifier WHERE type = %s AND value = %s AND profile_id = %s",
        (row.identifier.type, row.identifier.value, row.identifier.profile),
    )


async def is_merge_needed(connection: Connection, merge_id: str) -> bool:
    """Whether identifiers are still part of others because of a merge."""
    cursor = await connection.execute("SELECT EXISTS (SELECT FROM former_identifier WHERE merge_id = %s)", (merge_id,))
    row = await cursor.fetchone()
    return bool(row is not None and row[0])


async def share(connection: Connection, key: Key, at_us: int) -> None:
    """Says that a value belongs to many people."""
    await connection.execute(
        "UPDATE identifier SET shared_at_us = %s WHERE type = %s AND value = %s AND shared_at_us IS NULL", (at_us, *key)
    )


async def follow_moves(connection: Connection, moves: Sequence[Move], rules: Sequence[str]) -> None:
    """Makes everything that names the values name the new ones. rules: all rules of refusals."""
    if not moves:
        return
    columns = (Texts([m.type for m in moves]), Texts([m.old for m in moves]), Texts([m.new for m in moves]))
    cursor = bulk_cursor(connection)
    await cursor.execute(_VIA, columns)
    # Two that are one now did not bring each other.
    await cursor.execute(
        b"UPDATE identifier i SET via_type = NULL, via_value = NULL"
        b" FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (type, old, new)"
        b" WHERE i.type = k.type AND i.value = k.new AND i.via_type = i.type AND i.via_value = i.value",
        columns,
    )
    await cursor.execute(_FORMER_MOVED, columns)
    for side in ("a", "b"):
        await cursor.execute(_EDGES.format(side=side).encode(), (*columns, Bigints([m.profile for m in moves])))
    await follow_in_review(connection, moves, rules)
    await _follow_in_pairs(connection, moves, columns)


async def follow_in_review(connection: Connection, moves: Sequence[Move], rules: Sequence[str]) -> None:
    """Puts refusals under the new values."""
    columns = (Texts([m.type for m in moves]), Texts([m.old for m in moves]), Texts([m.new for m in moves]))
    await bulk_cursor(connection).execute(_REVIEWED, (*columns, Texts(rules)))


async def _follow_in_pairs(connection: Connection, moves: Sequence[Move], columns: tuple[Texts, Texts, Texts]) -> None:
    new = {(m.type, m.old): (m.type, m.new) for m in moves}
    rows: list[tuple[Any, ...]] = []
    for statement in (_PAIRS_GONE, _PAIRS_GONE_B):
        cursor = bulk_cursor(connection)
        await cursor.execute(statement, columns)
        rows += await cursor.fetchall()
    async with connection.cursor() as writer:
        for type_a, value_a, type_b, value_b, *rest in rows:
            one = new.get((type_a, value_a), (type_a, value_a))
            other = new.get((type_b, value_b), (type_b, value_b))
            if one != other:
                await writer.execute(
                    "INSERT INTO identifier_pair (type_a, value_a, type_b, value_b, cause, ref, source, at_us)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    (*min(one, other), *max(one, other), *rest),
                )


def _identifier(row: Sequence[Any]) -> StoredIdentifier:
    return StoredIdentifier(
        type=row[0],
        value=row[1],
        shown=row[2],
        profile=row[3],
        rules=row[4],
        first_seen_at_us=row[5],
        ordinal=row[6],
        cause=row[7],
        ref=row[8],
        source=row[9],
        via=None if row[10] is None else (row[10], row[11]),
        shared_at_us=row[12],
    )


def _shown(one: StoredIdentifier, value: str) -> str:
    return nullable(None if one.shown == value else one.shown)


def _origin(one: StoredIdentifier) -> str:
    via = "\\N\t\\N" if one.via is None else f"{one.via[0]}\t{escaped(one.via[1])}"
    shared = "\\N" if one.shared_at_us is None else str(one.shared_at_us)
    return (
        f"{one.profile}\t{one.first_seen_at_us}\t{one.ordinal}\t{one.cause}\t{escaped(one.ref)}\t{escaped(one.source)}\t"
        f"{via}\t{shared}"
    )
