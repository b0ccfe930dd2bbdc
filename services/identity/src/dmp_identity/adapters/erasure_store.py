"""Erases people: everything about them goes but a receipt, the ids of their events, and digests that keep late
events away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Texts, bulk_cursor
from dmp_identity.domain.reading import Key

Connection = psycopg.AsyncConnection[Any]

_KEPT_EVENTS: Final = """
INSERT INTO erasure_event (erasure_id, event_id)
SELECT %s, t.event_id FROM timeline_entry t WHERE t.profile_id = ANY(%s)
ON CONFLICT DO NOTHING
"""

_COUNTS: Final = """
SELECT
  (SELECT count(*) FROM profile WHERE id = ANY(%(ids)s)),
  (SELECT count(*) FROM identifier WHERE profile_id = ANY(%(ids)s))
    + (SELECT count(*) FROM weak_link WHERE profile_id = ANY(%(ids)s)),
  (SELECT count(*) FROM contact WHERE profile_id = ANY(%(ids)s)),
  (SELECT count(DISTINCT merge_id) FROM merge_edge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s))
    + (SELECT count(*) FROM never_merge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s)),
  (SELECT count(*) FROM review WHERE profile_id = ANY(%(ids)s)),
  (SELECT count(*) FROM timeline_entry WHERE profile_id = ANY(%(ids)s))
"""

# In this order: what names identifiers goes before the identifiers.
_DELETIONS: Final = (
    """
    DELETE FROM identifier_pair p USING identifier i
    WHERE i.profile_id = ANY(%(ids)s) AND p.type_a = i.type AND p.value_a = i.value
    """,
    """
    DELETE FROM identifier_pair p USING identifier i
    WHERE i.profile_id = ANY(%(ids)s) AND p.type_b = i.type AND p.value_b = i.value
    """,
    """
    DELETE FROM review r USING identifier i
    WHERE i.profile_id = ANY(%(ids)s) AND r.rule = ANY(%(rules)s) AND r.type = i.type AND r.value = i.value
    """,
    "DELETE FROM review WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM review WHERE other_profile_id = ANY(%(ids)s)",
    """
    WITH gone AS (
      DELETE FROM merge_edge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s) RETURNING merge_id
    )
    DELETE FROM merge m USING gone g
    WHERE m.id = g.merge_id
    AND NOT EXISTS (
      SELECT FROM merge_edge e
      WHERE e.merge_id = m.id AND NOT e.profile_a = ANY(%(ids)s) AND NOT e.profile_b = ANY(%(ids)s)
    )
    """,
    "DELETE FROM never_merge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s)",
    "DELETE FROM merge_contact m USING contact c WHERE c.profile_id = ANY(%(ids)s) AND m.contact_id = c.id",
    "DELETE FROM contact WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM timeline_entry WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM anonymous_profile WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM weak_link WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM former_identifier WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM identifier WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM profile WHERE id = ANY(%(ids)s)",
)


class Counts(msgspec.Struct, frozen=True):
    """How much belongs to an erasure."""

    profiles: int
    identifiers: int
    contacts: int
    merges: int
    refusals: int
    events: int


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure did. profiles: the ids that are unknown now, the answering one first."""

    id: str
    profiles: list[int]
    counts: Counts
    erased_at_us: int
    confirmed: bool


async def count_erasure(connection: Connection, members: Sequence[int]) -> Counts:
    """How much there is about these profiles."""
    cursor = await connection.execute(_COUNTS, {"ids": list(members)})
    row = await cursor.fetchone()
    assert row is not None
    return Counts(*row)


async def find_receipt(connection: Connection, erasure_id: str) -> Receipt | None:
    """The receipt of an erasure, None if there is none of this id."""
    cursor = await connection.execute(
        "SELECT id::text, profile_ids, counts, erased_at_us, confirmed_at_us IS NOT NULL FROM erasure WHERE id = %s",
        (erasure_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return Receipt(
        id=row[0],
        profiles=row[1],
        counts=msgspec.convert(row[2], Counts),
        erased_at_us=row[3],
        confirmed=row[4],
    )


async def erase_profiles(
    connection: Connection, receipt: Receipt, *, remembered_types: Collection[str], rules: Sequence[str]
) -> None:
    """Erases the receipt's profiles and stores it. Callers own the graph.

    remembered_types: types whose values late events are recognised by. rules: of the refusals that name identifiers.
    """
    ids = list(receipt.profiles)
    await connection.execute(
        "INSERT INTO erasure (id, profile_ids, counts, erased_at_us) VALUES (%s, %s, %s, %s)",
        (receipt.id, ids, msgspec.json.encode(receipt.counts).decode(), receipt.erased_at_us),
    )
    await connection.execute(_KEPT_EVENTS, (receipt.id, ids))
    cursor = await connection.execute("SELECT type, value FROM identifier WHERE profile_id = ANY(%s)", (ids,))
    marks = [((row[0], row[1]), True) for row in await cursor.fetchall()]
    cursor = await connection.execute("SELECT type, value FROM weak_link WHERE profile_id = ANY(%s)", (ids,))
    marks += [((row[0], row[1]), False) for row in await cursor.fetchall() if row[0] in remembered_types]
    salt = await _salt(connection)
    async with connection.cursor() as writer:
        await writer.executemany(
            "INSERT INTO erased_identifier (digest, erasure_id, erased_at_us, strong) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (digest) DO UPDATE"
            " SET erasure_id = excluded.erasure_id, erased_at_us = excluded.erased_at_us",
            [(_digest(salt, key), receipt.id, receipt.erased_at_us, strong) for key, strong in dict(marks).items()],
        )
    for statement in _DELETIONS:
        await connection.execute(
            statement.encode(), {"ids": ids, "rules": list(rules)} if "rules" in statement else {"ids": ids}
        )


async def erased_keys(connection: Connection, keys: Sequence[Key], accepted_at_us: int) -> dict[Key, str]:
    """Identifiers among these that were erased after the time given -> the erasure."""
    salt = await _salt(connection)
    digests = {_digest(salt, key): key for key in keys}
    cursor = await connection.execute(
        "SELECT digest, erasure_id::text FROM erased_identifier WHERE digest = ANY(%s) AND erased_at_us > %s",
        (list(digests), accepted_at_us),
    )
    return {digests[bytes(row[0])]: row[1] for row in await cursor.fetchall()}


async def add_late_events(connection: Connection, events: Mapping[str, str]) -> None:
    """Adds events that came after the erasure: event -> erasure. The erasures are open again."""
    if not events:
        return
    cursor = bulk_cursor(connection)
    await cursor.execute(
        b"INSERT INTO erasure_event (erasure_id, event_id) SELECT k.erasure::uuid, k.event"
        b" FROM unnest(%s::text[], %s::text[]) AS k (erasure, event) ON CONFLICT DO NOTHING",
        (Texts(list(events.values())), Texts(list(events))),
    )
    await cursor.execute(
        b"UPDATE erasure SET confirmed_at_us = NULL WHERE id = ANY(%s::text[]::uuid[])",
        (Texts(sorted(set(events.values()))),),
    )


async def erased_events(connection: Connection, erasure_id: str, after: str, limit: int) -> list[str]:
    """Events of an erasure after one, in order of id."""
    cursor = await connection.execute(
        "SELECT event_id FROM erasure_event WHERE erasure_id = %s AND event_id > %s ORDER BY event_id LIMIT %s",
        (erasure_id, after, limit),
    )
    return [row[0] for row in await cursor.fetchall()]


async def forget_events(connection: Connection, erasure_id: str, now_us: int) -> int:
    """Forgets an erasure's events; how many there were."""
    cursor = await connection.execute("DELETE FROM erasure_event WHERE erasure_id = %s", (erasure_id,))
    await connection.execute("UPDATE erasure SET confirmed_at_us = %s WHERE id = %s", (now_us, erasure_id))
    return cursor.rowcount


async def _salt(connection: Connection) -> str:
    cursor = await connection.execute("SELECT salt FROM erasure_salt")
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


def _digest(salt: str, key: Key) -> bytes:
    return hashlib.sha256(f"{salt}\0{key[0]}\0{key[1]}".encode()).digest()
