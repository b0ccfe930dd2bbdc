"""Erases people: everything about them goes but a receipt, the ids of their events, and digests that keep late
events away.

`take_out` makes the person unknown in one short transaction; `slice_of_timeline`, `slice_of_links` and
`erasure_refusals` take away what is left of their profiles, a few thousand rows at a time. Nobody else writes to
profiles that are no more, so slices need no lock of the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.erasure_digests import add_digests
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.refusal_reason import RefusalReason

Connection = psycopg.AsyncConnection[Any]

_RULES: Final = [rule.value for rule in RefusalReason]
_LINKS_AT_ONCE: Final = 50_000

_COUNTS: Final = """
SELECT
  (SELECT count(*) FROM profile WHERE id = ANY(%(ids)s)),
  (SELECT count(*) FROM identifier WHERE profile_id = ANY(%(ids)s))
    + CASE WHEN %(whole)s THEN (SELECT count(*) FROM weak_link WHERE profile_id = ANY(%(ids)s)) ELSE 0 END,
  (SELECT count(*) FROM contact WHERE profile_id = ANY(%(ids)s)),
  (SELECT count(DISTINCT merge_id) FROM merge_edge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s))
    + (SELECT count(*) FROM never_merge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s)),
  CASE WHEN %(whole)s THEN (SELECT count(*) FROM review WHERE profile_id = ANY(%(ids)s)) ELSE 0 END,
  CASE WHEN %(whole)s THEN (SELECT count(*) FROM timeline_entry WHERE profile_id = ANY(%(ids)s)) ELSE 0 END
"""

_KEYS: Final = """
INSERT INTO erasure_key (erasure_id, type, value, shown)
SELECT %(id)s::uuid, type, value, shown FROM identifier WHERE profile_id = ANY(%(ids)s)
UNION
SELECT %(id)s::uuid, type, value, shown FROM former_identifier WHERE profile_id = ANY(%(ids)s)
UNION
SELECT %(id)s::uuid, k.type, k.value, NULL FROM unnest(%(types)s::text[], %(values)s::text[]) AS k (type, value)
ON CONFLICT DO NOTHING
"""

_TIMELINES: Final = (
    """
    INSERT INTO erasure_timeline (erasure_id, is_others, profile_id, occurred_at_us, event_id)
    SELECT %(id)s::uuid, false, k.id, -9223372036854775808, '' FROM unnest(%(ids)s::bigint[]) AS k (id)
    """,
    # Whose events may show the person's identifiers: who was one person with them, and where evidence was refused.
    """
    INSERT INTO erasure_timeline (erasure_id, is_others, profile_id, occurred_at_us, event_id)
    SELECT %(id)s::uuid, true, o.id, -9223372036854775808, '' FROM (
      SELECT s.profile_id AS id FROM separated_profile s
      WHERE s.separation_id IN (SELECT separation_id FROM separated_profile WHERE profile_id = ANY(%(ids)s))
      UNION
      SELECT r.profile_id FROM erasure_key k
      JOIN review r ON r.rule = ANY(%(rules)s) AND r.type = k.type AND r.value = k.value
      WHERE k.erasure_id = %(id)s
    ) o
    JOIN profile p ON p.id = o.id
    WHERE NOT o.id = ANY(%(ids)s)
    """,
)

# In this order: what names identifiers goes before the identifiers.
_DELETIONS: Final = (
    """
    DELETE FROM identifier_pair p USING erasure_key k
    WHERE k.erasure_id = %(id)s AND p.type_a = k.type AND p.value_a = k.value
    """,
    """
    DELETE FROM identifier_pair p USING erasure_key k
    WHERE k.erasure_id = %(id)s AND p.type_b = k.type AND p.value_b = k.value
    """,
    """
    DELETE FROM review r USING erasure_key k
    WHERE k.erasure_id = %(id)s AND r.rule = ANY(%(rules)s) AND r.type = k.type AND r.value = k.value
    """,
    """
    UPDATE identifier i SET via_type = NULL, via_value = NULL FROM erasure_key k
    WHERE k.erasure_id = %(id)s AND i.via_type = k.type AND i.via_value = k.value AND NOT i.profile_id = ANY(%(ids)s)
    """,
    # A merge that stays is one of others: what somebody wrote about it may name the person all the same.
    """
    WITH gone AS (
      DELETE FROM merge_edge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s) RETURNING merge_id
    )
    UPDATE merge m SET reason = '', undo_reason = CASE WHEN undo_reason IS NULL THEN NULL ELSE '' END
    FROM gone g WHERE m.id = g.merge_id
    """,
    """
    DELETE FROM merge m WHERE m.id = ANY(%(merges)s::uuid[])
    AND NOT EXISTS (SELECT FROM merge_edge e WHERE e.merge_id = m.id)
    """,
    """
    UPDATE merge_edge e SET type_a = NULL, value_a = NULL FROM erasure_key k
    WHERE k.erasure_id = %(id)s AND e.type_a = k.type AND e.value_a = k.value
    """,
    """
    UPDATE merge_edge e SET type_b = NULL, value_b = NULL FROM erasure_key k
    WHERE k.erasure_id = %(id)s AND e.type_b = k.type AND e.value_b = k.value
    """,
    # An event with a shared value only is anonymous, and found by it.
    """
    DELETE FROM anonymous_profile a USING erasure_key k
    WHERE k.erasure_id = %(id)s AND a.type = k.type AND a.value = k.value
    """,
    "DELETE FROM never_merge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s)",
    "DELETE FROM separated_profile WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM merge_contact m USING contact c WHERE c.profile_id = ANY(%(ids)s) AND m.contact_id = c.id",
    "DELETE FROM contact WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM anonymous_profile WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM former_identifier WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM identifier WHERE profile_id = ANY(%(ids)s)",
    "DELETE FROM profile WHERE id = ANY(%(ids)s)",
)

_LAST_OF_SLICE: Final = """
SELECT occurred_at_us, event_id FROM timeline_entry
WHERE profile_id = %(profile)s AND (occurred_at_us, event_id) > (%(at_us)s, %(event)s)
ORDER BY occurred_at_us, event_id LIMIT 1 OFFSET %(skipped)s
"""
_LIST_AND_DELETE: Final = """
WITH gone AS (
  DELETE FROM timeline_entry
  WHERE profile_id = %(profile)s AND (occurred_at_us, event_id) > (%(at_us)s, %(event)s)
  AND (occurred_at_us, event_id) <= (%(last_at_us)s, %(last_event)s)
  RETURNING event_id
), listed AS (
  INSERT INTO erasure_page (erasure_id, is_others, events, event_ids)
  SELECT %(erasure)s, false, count(*), array_agg(event_id ORDER BY event_id) FROM gone HAVING count(*) > 0
)
SELECT count(*) FROM gone
"""
_LIST_OTHERS: Final = """
WITH seen AS MATERIALIZED (
  SELECT event_id FROM timeline_entry
  WHERE profile_id = %(profile)s AND (occurred_at_us, event_id) > (%(at_us)s, %(event)s)
  AND (occurred_at_us, event_id) <= (%(last_at_us)s, %(last_event)s)
), listed AS (
  INSERT INTO erasure_page (erasure_id, is_others, events, event_ids)
  SELECT %(erasure)s, true, count(*), array_agg(event_id ORDER BY event_id) FROM seen HAVING count(*) > 0
)
SELECT count(*) FROM seen
"""
_END_OF_TIME_US: Final = 2**63 - 1


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
    cursor = await connection.execute(_COUNTS, {"ids": list(members), "whole": whole})
    row = await cursor.fetchone()
    assert row is not None
    return Counts(*row)


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


async def is_refused_somewhere(connection: Connection, key: Key) -> bool:
    """Whether evidence with this identifier was ever refused."""
    cursor = await connection.execute(
        "SELECT FROM review WHERE rule = ANY(%s) AND type = %s AND value = %s LIMIT 1", (_RULES, *key)
    )
    return await cursor.fetchone() is not None


async def take_out(
    connection: Connection, receipt: Receipt, *, remembered_types: Collection[str], keys: Sequence[Key] = ()
) -> int:
    """Makes the receipt's profiles unknown, stores the receipt, and notes what is left to do. Callers own the graph.

    remembered_types: weak types whose values late events are recognised by. keys: identifiers of nobody's that go, too.
    Returns how many links went at once.
    """
    given = {
        "id": receipt.id,
        "ids": list(receipt.profiles),
        "rules": _RULES,
        "types": [key[0] for key in keys],
        "values": [key[1] for key in keys],
    }
    await connection.execute(
        "INSERT INTO erasure (id, profile_ids, counts, erased_at_us) VALUES (%s, %s, %s, %s)",
        (receipt.id, given["ids"], msgspec.json.encode(receipt.counts).decode(), receipt.erased_at_us),
    )
    await connection.execute(_KEYS, given)
    cursor = await connection.execute("SELECT type, value FROM erasure_key WHERE erasure_id = %s", (receipt.id,))
    await add_digests(connection, receipt.id, receipt.erased_at_us, await cursor.fetchall(), strong=True)
    for statement in _TIMELINES:
        await connection.execute(statement.encode(), given)
    cursor = await connection.execute(
        "SELECT DISTINCT merge_id::text FROM merge_edge WHERE profile_a = ANY(%(ids)s) OR profile_b = ANY(%(ids)s)",
        given,
    )
    given["merges"] = [row[0] for row in await cursor.fetchall()]
    # Links that attribute would let late events find profiles that are no more.
    links = await slice_of_links(
        connection, receipt, _LINKS_AT_ONCE, remembered_types=remembered_types, only=remembered_types
    )
    for statement in _DELETIONS:
        await connection.execute(statement.encode(), given)
    return links


async def slice_of_timeline(connection: Connection, erasure_id: str, limit: int) -> tuple[int, bool] | None:
    """Puts up to `limit` events of the next timeline on the erasure's list, and takes them off the timeline if it is
    the person's own: how many, and whether it was. None if no timeline is left.
    """
    cursor = await connection.execute(
        "SELECT is_others, profile_id, occurred_at_us, event_id FROM erasure_timeline WHERE erasure_id = %s"
        " ORDER BY is_others, profile_id LIMIT 1",
        (erasure_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    is_others, profile, at_us, event_id = row
    given = {"erasure": erasure_id, "others": is_others, "profile": profile, "at_us": at_us, "event": event_id}
    cursor = await connection.execute(_LAST_OF_SLICE, given | {"skipped": limit - 1})
    last = await cursor.fetchone()
    given["last_at_us"], given["last_event"] = last or (_END_OF_TIME_US, "")
    cursor = await connection.execute(_LIST_OTHERS if is_others else _LIST_AND_DELETE, given)
    counted = await cursor.fetchone()
    assert counted is not None
    if last is None:
        await connection.execute(
            "DELETE FROM erasure_timeline"
            " WHERE erasure_id = %(erasure)s AND is_others = %(others)s AND profile_id = %(profile)s",
            given,
        )
    else:
        await connection.execute(
            "UPDATE erasure_timeline SET occurred_at_us = %(last_at_us)s, event_id = %(last_event)s"
            " WHERE erasure_id = %(erasure)s AND is_others = %(others)s AND profile_id = %(profile)s",
            given,
        )
    return counted[0], is_others


async def slice_of_links(
    connection: Connection,
    receipt: Receipt,
    limit: int,
    *,
    remembered_types: Collection[str],
    only: Collection[str] | None = None,
) -> int:
    """Takes away up to `limit` weak identifiers of the receipt's profiles, `only` of some types; how many."""
    cursor = await connection.execute(
        "DELETE FROM weak_link WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM weak_link WHERE profile_id = ANY(%s) AND (%s::text[] IS NULL OR type = ANY(%s)) LIMIT %s"
        ")) RETURNING type, value",
        (list(receipt.profiles), *([None if only is None else list(only)] * 2), limit),
    )
    gone = await cursor.fetchall()
    remembered = [key for key in gone if key[0] in remembered_types]
    await add_digests(connection, receipt.id, receipt.erased_at_us, remembered, strong=False)
    return len(gone)


async def note_progress(connection: Connection, receipt: Receipt, *, finished_at_us: int | None) -> None:
    """Stores how far the erasure is."""
    await connection.execute(
        "UPDATE erasure SET counts = %s, finished_at_us = %s WHERE id = %s",
        (msgspec.json.encode(receipt.counts).decode(), finished_at_us, receipt.id),
    )


async def erased_values(connection: Connection, erasure_id: str, kind: str) -> list[str]:
    """The person's identifiers of one type as they are compared and as they were shown, until the erasure is
    confirmed.
    """
    cursor = await connection.execute(
        "SELECT value, coalesce(shown, value) FROM erasure_key WHERE erasure_id = %s AND type = %s ORDER BY value",
        (erasure_id, kind),
    )
    return list(dict.fromkeys(text for row in await cursor.fetchall() for text in row))
