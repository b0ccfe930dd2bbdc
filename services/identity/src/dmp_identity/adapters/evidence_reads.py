"""Reads all stored evidence: for trying a policy."""

from __future__ import annotations

from typing import Any

import psycopg

from dmp_identity.domain.reading import Key
from dmp_identity.domain.try_policy import Arrival, Evidence

Connection = psycopg.AsyncConnection[Any]


async def load_evidence(connection: Connection) -> Evidence:
    """Everything in one consistent view. Memory: about half a kilobyte for each identifier."""
    cursor = await connection.execute(
        """
        SELECT i.type, i.value, coalesce(i.shown, i.value), i.profile_id, p.root_id, i.ref, i.via_type, i.via_value
        FROM identifier i JOIN profile p ON p.id = i.profile_id
        ORDER BY i.profile_id, i.first_seen_at_us, i.ordinal
        """
    )
    arrivals = [
        Arrival(
            key=(kind, value),
            shown=shown,
            profile=profile,
            person=person,
            ref=ref or "-",
            via=None if via_type is None else (via_type, via_value),
        )
        for kind, value, shown, profile, person, ref, via_type, via_value in await cursor.fetchall()
    ]
    cursor = await connection.execute(
        """
        SELECT w.type, w.value, coalesce(w.shown, w.value), w.profile_id, p.root_id
        FROM weak_link w JOIN profile p ON p.id = w.profile_id
        """
    )
    arrivals += [
        Arrival(key=(kind, value), shown=shown, profile=profile, person=person, ref="", via=None)
        for kind, value, shown, profile, person in await cursor.fetchall()
    ]
    # What was seen together and is not one person today was refused, or taken apart by somebody.
    cursor = await connection.execute(
        """
        SELECT p.type_a, p.value_a, p.type_b, p.value_b, coalesce(pa.root_id = pb.root_id, false)
        FROM identifier_pair p
        LEFT JOIN identifier a ON a.type = p.type_a AND a.value = p.value_a LEFT JOIN profile pa ON pa.id = a.profile_id
        LEFT JOIN identifier b ON b.type = p.type_b AND b.value = p.value_b LEFT JOIN profile pb ON pb.id = b.profile_id
        """
    )
    pairs: list[tuple[Key, Key]] = []
    refused: list[tuple[Key, Key]] = []
    for type_a, value_a, type_b, value_b, is_one_person in await cursor.fetchall():
        (pairs if is_one_person else refused).append(((type_a, value_a), (type_b, value_b)))
    cursor = await connection.execute(
        """
        SELECT e.type_a, e.value_a, e.type_b, e.value_b, e.profile_a, e.profile_b
        FROM merge_edge e JOIN merge m ON m.id = e.merge_id WHERE m.undone_at_us IS NULL
        """
    )
    edges, merged = [], []
    for type_a, value_a, type_b, value_b, profile_a, profile_b in await cursor.fetchall():
        if type_a is None or type_b is None:
            merged.append((profile_a, profile_b))
        else:
            edges.append(((type_a, value_a), (type_b, value_b)))
    return Evidence(arrivals=arrivals, pairs=pairs, refused=refused, edges=edges, merged=merged)
