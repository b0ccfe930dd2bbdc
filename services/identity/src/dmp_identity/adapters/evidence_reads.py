"""Reads all stored evidence: for trying a policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, LiteralString

import psycopg

from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.try_policy import Arrival, Evidence

_SLICE: Final = 10_000
"""Rows that the database hands over at a time."""

_STRONG: Final = """
SELECT i.type, i.value, coalesce(i.shown, i.value), i.profile_id, p.root_id, i.ref, i.via_type, i.via_value
FROM identifier i JOIN profile p ON p.id = i.profile_id
ORDER BY i.profile_id, i.first_seen_at_us, i.ordinal
"""

_WEAK: Final = """
SELECT w.type, w.value, coalesce(w.shown, w.value), w.profile_id, p.root_id
FROM weak_link w JOIN profile p ON p.id = w.profile_id
"""

# What was seen together and is not one person today was refused, or taken apart by somebody.
_PAIRS: Final = """
SELECT p.type_a, p.value_a, p.type_b, p.value_b, coalesce(pa.root_id = pb.root_id, false)
FROM identifier_pair p
LEFT JOIN identifier a ON a.type = p.type_a AND a.value = p.value_a LEFT JOIN profile pa ON pa.id = a.profile_id
LEFT JOIN identifier b ON b.type = p.type_b AND b.value = p.value_b LEFT JOIN profile pb ON pb.id = b.profile_id
"""

_EDGES: Final = """
SELECT e.type_a, e.value_a, e.type_b, e.value_b, e.profile_a, e.profile_b
FROM merge_edge e JOIN merge m ON m.id = e.merge_id WHERE m.undone_at_us IS NULL
"""


def load_evidence(database_url: str, *, statement_timeout_seconds: float) -> Evidence:
    """Everything, in one consistent view, over a connection of its own. Raises psycopg.Error.

    Memory: about half a kilobyte for each identifier.
    """
    with psycopg.connect(database_url, application_name="dmp_identity_trial", connect_timeout=5) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        timeout_ms = str(int(statement_timeout_seconds * 1000))
        connection.execute("SELECT set_config('statement_timeout', %s, true)", (timeout_ms,))
        arrivals = [
            Arrival(
                key=(kind, value),
                shown=shown,
                profile=profile,
                person=person,
                ref=ref or "-",
                via=None if via_type is None else (via_type, via_value),
            )
            for kind, value, shown, profile, person, ref, via_type, via_value in _rows(connection, _STRONG)
        ]
        arrivals += [
            Arrival(key=(kind, value), shown=shown, profile=profile, person=person, ref="", via=None)
            for kind, value, shown, profile, person in _rows(connection, _WEAK)
        ]
        pairs: list[tuple[Key, Key]] = []
        refused: list[tuple[Key, Key]] = []
        for type_a, value_a, type_b, value_b, is_one_person in _rows(connection, _PAIRS):
            (pairs if is_one_person else refused).append(((type_a, value_a), (type_b, value_b)))
        edges, merged = [], []
        for type_a, value_a, type_b, value_b, profile_a, profile_b in _rows(connection, _EDGES):
            if type_a is None or type_b is None:
                merged.append((profile_a, profile_b))
            else:
                edges.append(((type_a, value_a), (type_b, value_b)))
    return Evidence(arrivals=arrivals, pairs=pairs, refused=refused, edges=edges, merged=merged)


def _rows(connection: psycopg.Connection[Any], statement: LiteralString) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name="evidence") as cursor:
        cursor.itersize = _SLICE
        cursor.execute(statement)
        yield from cursor
