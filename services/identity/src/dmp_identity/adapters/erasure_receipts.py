"""Stores the receipt of each erasure: whose it is, how much has gone, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

Connection = psycopg.AsyncConnection[Any]

_COUNTS: Final = """
SELECT
  (SELECT count(*) FROM profile WHERE id = ANY(%(ids)s)),
  (SELECT count(*) FROM identifier WHERE profile_id = ANY(%(ids)s))
    + CASE WHEN %(whole)s THEN (SELECT count(*) FROM weak_link WHERE profile_id = ANY(%(ids)s)) ELSE 0 END,
  (SELECT count(*) FROM contact WHERE profile_id = ANY(%(ids)s)),
  (SELECT count(DISTINCT merge_id) FROM merge_edge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s))
    + (SELECT count(*) FROM never_merge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s)),
  CASE WHEN %(whole)s THEN (SELECT count(*) FROM review WHERE profile_id = ANY(%(ids)s)) ELSE 0 END
"""
# By itself: the timelines may be on other nodes than the graph.
_ENTRIES: Final = "SELECT count(*) FROM timeline_entry WHERE profile_id = ANY(%(ids)s)"


class Counts(msgspec.Struct, frozen=True):
    """How much belongs to an erasure."""

    profiles: int
    identifiers: int
    contacts: int
    merges: int
    refusals: int
    events: int


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure did so far.

    profiles: the ids that are unknown now, the answering one first.
    counts: what has gone so far.
    finished: nothing is left but events whose personal fields have to go from the log.
    """

    id: str
    profiles: list[int]
    counts: Counts
    erased_at_us: int
    confirmed: bool
    finished: bool


async def count_erasure(connection: Connection, members: Sequence[int], *, whole: bool = True) -> Counts:
    """How much there is about these profiles; unless `whole`, only what the first transaction takes."""
    ids = list(members)
    counted = await (await connection.execute(_COUNTS, {"ids": ids, "whole": whole})).fetchone()
    assert counted is not None
    entries = await (await connection.execute(_ENTRIES, {"ids": ids})).fetchone() if whole else (0,)
    assert entries is not None
    return Counts(*counted, *entries)


async def find_receipt(connection: Connection, erasure_id: str, *, for_update: bool = False) -> Receipt | None:
    """The receipt of an erasure, None if there is none of this id. for_update: nobody else advances it meanwhile."""
    statement = (
        "SELECT id::text, profile_ids, counts, erased_at_us, confirmed_at_us IS NOT NULL, finished_at_us IS NOT NULL"
        " FROM erasure WHERE id = %s"
    )
    cursor = await connection.execute(f"{statement} FOR UPDATE" if for_update else statement, (erasure_id,))
    row = await cursor.fetchone()
    if row is None:
        return None
    return Receipt(
        id=row[0],
        profiles=row[1],
        counts=msgspec.convert(row[2], Counts),
        erased_at_us=row[3],
        confirmed=row[4],
        finished=row[5],
    )


async def add_receipt(connection: Connection, receipt: Receipt) -> None:
    """Stores the receipt of an erasure that begins."""
    await connection.execute(
        "INSERT INTO erasure (id, profile_ids, counts, erased_at_us) VALUES (%s, %s, %s, %s)",
        (receipt.id, list(receipt.profiles), msgspec.json.encode(receipt.counts).decode(), receipt.erased_at_us),
    )


async def note_progress(connection: Connection, receipt: Receipt, *, finished_at_us: int | None) -> None:
    """Stores how far the erasure is."""
    await connection.execute(
        "UPDATE erasure SET counts = %s, finished_at_us = %s WHERE id = %s",
        (msgspec.json.encode(receipt.counts).decode(), finished_at_us, receipt.id),
    )
