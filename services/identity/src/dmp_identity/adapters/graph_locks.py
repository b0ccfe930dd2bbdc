"""The locks of the identity graph, and the order in which everybody takes them.

1. the graph as a whole: shared by whoever reads it to write, exclusive for erasing;
2. the batch's row in the inbox;
3. stripes, ascending: one of 256 for each identifier that is about to become known. A row that does not exist cannot
be locked, its
   stripe can;
4. the merge lock, if people that exist are merged, split or stop being anonymous, identifiers become shared, or
   contacts change. Who changes the version of the graph holds it, so its row is never waited for.

All are held to the end of the transaction. Since the order is one, nobody waits in a circle.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, bulk_cursor
from dmp_identity.domain.parsed_identifier import Key

_CLASS: Final = 0x444D5049
_STRIPES: Final = 256
_MERGE: Final = _STRIPES
_GRAPH: Final = _STRIPES + 1


def stripe(key: Key) -> int:
    """The stripe of an identifier, the same in every process."""
    return zlib.crc32(f"{key[0]}\0{key[1]}".encode()) % _STRIPES


def stripes(keys: Iterable[Key]) -> frozenset[int]:
    """The stripes of some identifiers."""
    return frozenset(map(stripe, keys))


async def share_graph(connection: psycopg.AsyncConnection[Any]) -> None:
    """Locks the graph, shared: until this transaction ends nobody erases a person or reads stored values again."""
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({_CLASS}, {_GRAPH})".encode())


async def own_graph(connection: psycopg.AsyncConnection[Any]) -> None:
    """Locks the graph for this transaction alone: until it ends nobody else reads the graph in order to write."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_CLASS}, {_GRAPH})".encode())


async def lock_stripes(
    connection: psycopg.AsyncConnection[Any], numbers: Iterable[int], *, merge: bool = False
) -> None:
    """Takes stripes in ascending order, then, if asked, the merge lock."""
    ordered = sorted(numbers)
    if merge:
        ordered.append(_MERGE)
    if ordered:
        statement = f"SELECT pg_advisory_xact_lock({_CLASS}, n::integer) FROM unnest(%b::bigint[]) AS n"  # noqa: S608  # no input in it
        await bulk_cursor(connection).execute(statement.encode(), (Bigints(ordered),))


async def lock_merges(connection: psycopg.AsyncConnection[Any]) -> None:
    """Takes the merge lock. Whoever holds it takes no stripe any more."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_CLASS}, {_MERGE})".encode())
