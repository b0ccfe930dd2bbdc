"""Takes an erased person's profiles out of the graph: everything about them goes but a receipt, the ids of their
events, and digests that keep late events away.

`take_out` makes the person unknown in one short transaction. What is left of their profiles then goes in slices, a few
thousand rows at a time: see `erasure_timelines`, `erasure_links` and `erasure_refusals`. Nobody else writes to profiles
that are no more, so slices need no lock of the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import psycopg

from dmp_identity.adapters.erasure_digests import add_digests
from dmp_identity.adapters.erasure_links import slice_of_links
from dmp_identity.adapters.erasure_receipts import Receipt, add_receipt
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.refusal_reason import RefusalReason

Connection = psycopg.AsyncConnection[Any]

_RULES: Final = [rule.value for rule in RefusalReason]
_LINKS_AT_ONCE: Final = 50_000

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

    remembered_types: the weak types by whose values late events are recognised.
    keys: identifiers that are nobody's and go, too.
    Returns how many weak identifiers went at once.
    """
    given = {
        "id": receipt.id,
        "ids": list(receipt.profiles),
        "rules": _RULES,
        "types": [key[0] for key in keys],
        "values": [key[1] for key in keys],
    }
    await add_receipt(connection, receipt)
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


async def erased_texts(connection: Connection, erasure_id: str) -> list[str]:
    """All identifiers of the person, as they are compared and as they were shown, until the erasure is confirmed."""
    cursor = await connection.execute(
        "SELECT value, coalesce(shown, value) FROM erasure_key WHERE erasure_id = %s", (erasure_id,)
    )
    return list(dict.fromkeys(text for row in await cursor.fetchall() for text in row))


async def erased_values(connection: Connection, erasure_id: str, kind: str) -> list[str]:
    """The person's identifiers of one type as they are compared and as they were shown, until the erasure is
    confirmed.
    """
    cursor = await connection.execute(
        "SELECT value, coalesce(shown, value) FROM erasure_key WHERE erasure_id = %s AND type = %s ORDER BY value",
        (erasure_id, kind),
    )
    return list(dict.fromkeys(text for row in await cursor.fetchall() for text in row))
