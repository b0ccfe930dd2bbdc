"""Takes away an erased person's weak identifiers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg

from dmp_identity.adapters.erasure_digests import add_digests
from dmp_identity.adapters.erasure_receipts import Receipt

Connection = psycopg.AsyncConnection[Any]


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
