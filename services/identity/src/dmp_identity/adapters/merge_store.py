"""Stores merges and reads their history. Writers hold the merge lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Bigints, bulk_cursor, copy_rows, escaped, nullable
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.plan import MergeEdge, NewMerge
from dmp_identity.domain.undo_merge import ActiveMerge

Connection = psycopg.AsyncConnection[Any]
_MOST: Final = 1000

_MERGES_OF: Final = """
SELECT m.id::text, m.cause, m.ref, m.source, m.reason, m.merged_at_us, m.undone_at_us, coalesce(m.undo_reason, '')
FROM merge m
WHERE m.id IN (
  SELECT e.merge_id FROM merge_edge e WHERE e.profile_a = ANY(%s)
  UNION
  SELECT e.merge_id FROM merge_edge e WHERE e.profile_b = ANY(%s)
)
ORDER BY m.merged_at_us DESC, m.id DESC
LIMIT %s
"""

_ABSORB: Final = b"""
UPDATE profile p SET root_id = t.new_root
FROM (
  SELECT m.old_root AS id, m.new_root FROM unnest(%b::bigint[], %b::bigint[]) AS m (old_root, new_root)
  UNION ALL
  SELECT q.id, m.new_root
  FROM unnest(%b::bigint[], %b::bigint[]) AS m (old_root, new_root)
  JOIN profile q ON q.root_id = m.old_root AND q.root_id <> q.id
) t
WHERE p.id = t.id
"""

_EDGES: Final = """
SELECT merge_id::text, survivor_id, merged_id, profile_a, profile_b, type_a, value_a, type_b, value_b
FROM merge_edge WHERE merge_id = ANY(%s::uuid[]) ORDER BY merge_id, ordinal
"""


class StoredMerge(msgspec.Struct, frozen=True):
    """A merge as the history has it."""

    id: str
    cause: str
    ref: str
    source: str
    reason: str
    merged_at_us: int
    undone_at_us: int | None
    undo_reason: str
    edges: tuple[MergeEdge, ...]


async def store_merges(
    connection: Connection, merges: Mapping[str, NewMerge], real: Callable[[int], int], *, now_us: int
) -> None:
    """Writes merges by their ids, in two statements. real: the stored id of a profile of the plan."""
    cursor = bulk_cursor(connection)
    await copy_rows(
        cursor,
        "merge (id, cause, ref, source, reason, merged_at_us)",
        (
            f"{merge_id}\t{merge.cause}\t{escaped(merge.ref)}\t{escaped(merge.source)}\t{escaped(merge.reason)}\t{now_us}"
            for merge_id, merge in merges.items()
        ),
    )
    await copy_rows(
        cursor,
        "merge_edge (merge_id, ordinal, survivor_id, merged_id, profile_a, profile_b,"
        " type_a, value_a, type_b, value_b)",
        (
            f"{merge_id}\t{ordinal}\t{real(edge.survivor)}\t{real(edge.merged)}\t{real(edge.profile_a)}\t"
            f"{real(edge.profile_b)}\t{_key_fields(edge.key_a)}\t{_key_fields(edge.key_b)}"
            for merge_id, merge in merges.items()
            for ordinal, edge in enumerate(merge.edges)
        ),
    )


async def move_to_roots(connection: Connection, roots: Mapping[int, int]) -> None:
    """Makes every profile of the old roots' people answer with the new roots, in one statement."""
    old, new = Bigints(list(roots)), Bigints(list(roots.values()))
    await bulk_cursor(connection).execute(_ABSORB, (old, new, old, new))


async def find_merge(connection: Connection, merge_id: str) -> StoredMerge | None:
    """The merge of this id, None if there is none."""
    cursor = await connection.execute(
        "SELECT id::text, cause, ref, source, reason, merged_at_us, undone_at_us, coalesce(undo_reason, '')"
        " FROM merge WHERE id = %s",
        (merge_id,),
    )
    merges = await _with_edges(connection, await cursor.fetchall())
    return merges[0] if merges else None


async def merges_of(connection: Connection, profiles: Sequence[int]) -> list[StoredMerge]:
    """The last merges that any of the profiles took part in, oldest first."""
    given = list(profiles)
    cursor = await connection.execute(_MERGES_OF, (given, given, _MOST))
    return (await _with_edges(connection, await cursor.fetchall()))[::-1]


async def active_merges(connection: Connection, profiles: Sequence[int]) -> list[ActiveMerge]:
    """All merges in force among the profiles."""
    cursor = bulk_cursor(connection)
    await cursor.execute(
        b"""
        SELECT e.merge_id, m.merged_at_us, e.profile_a, e.profile_b
        FROM merge_edge e JOIN merge m ON m.id = e.merge_id
        WHERE e.profile_a = ANY(%b) AND m.undone_at_us IS NULL
        ORDER BY e.merge_id, e.ordinal
        """,
        (Bigints(list(profiles)),),
    )
    edges: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for merge_id, merged_at_us, a, b in await cursor.fetchall():
        edges.setdefault((str(merge_id), merged_at_us), []).append((a, b))
    return [
        ActiveMerge(id=merge_id, merged_at=datetime.fromtimestamp(at_us / 1e6, UTC), edges=tuple(pairs))
        for (merge_id, at_us), pairs in edges.items()
    ]


async def _with_edges(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[StoredMerge]:
    cursor = await connection.execute(_EDGES, ([row[0] for row in rows],))
    edges: dict[str, list[MergeEdge]] = {}
    for merge_id, survivor, merged, a, b, type_a, value_a, type_b, value_b in await cursor.fetchall():
        edges.setdefault(merge_id, []).append(
            MergeEdge(
                survivor=survivor,
                merged=merged,
                profile_a=a,
                profile_b=b,
                key_a=None if type_a is None else (type_a, value_a),
                key_b=None if type_b is None else (type_b, value_b),
            )
        )
    return [
        StoredMerge(
            id=merge_id,
            cause=cause,
            ref=ref,
            source=source,
            reason=reason,
            merged_at_us=merged_at_us,
            undone_at_us=undone_at_us,
            undo_reason=undo_reason,
            edges=tuple(edges.get(merge_id, ())),
        )
        for merge_id, cause, ref, source, reason, merged_at_us, undone_at_us, undo_reason in rows
    ]


def _key_fields(key: Key | None) -> str:
    return "\\N\t\\N" if key is None else f"{key[0]}\t{nullable(key[1])}"
