"""Reads and writes contact rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, bulk_cursor, copy_rows, nullable
from dmp_identity.domain.contacts import ContactBook, ContactRow, KnownValue

_OF_PEOPLE: Final = b"""
WITH member AS MATERIALIZED (
  SELECT r.id, r.id AS root_id FROM unnest(%b::bigint[]) AS r (id)
  UNION ALL
  SELECT p.id, p.root_id FROM unnest(%b::bigint[]) AS r (id) JOIN profile p ON p.root_id = r.id AND p.root_id <> p.id
)
SELECT m.root_id, c.id, c."phoneNumber", c.email, c."linkedId", c."createdAt", c."updatedAt", c.profile_id
FROM member m JOIN contact c ON c.profile_id = m.id
WHERE c."deletedAt" IS NULL OR %s
"""

_VALUES_OF_PEOPLE: Final = b"""
WITH member AS MATERIALIZED (
  SELECT r.id, r.id AS root_id FROM unnest(%b::bigint[]) AS r (id)
  UNION ALL
  SELECT p.id, p.root_id FROM unnest(%b::bigint[]) AS r (id) JOIN profile p ON p.root_id = r.id AND p.root_id <> p.id
)
SELECT m.root_id, i.type, coalesce(i.shown, i.value), i.first_seen_at_us, i.profile_id, i.cause = 'contact'
FROM member m JOIN identifier i ON i.profile_id = m.id
WHERE i.type IN ('email', 'phone')
ORDER BY i.first_seen_at_us, i.ordinal
"""

_UPDATE: Final = b"""
UPDATE contact SET
  "linkedId" = %s,
  "linkPrecedence" = CASE WHEN %s::integer IS NULL THEN 'primary' ELSE 'secondary' END, "updatedAt" = %s
WHERE id = %s
"""


async def load_contacts(
    connection: psycopg.AsyncConnection[Any], roots: Iterable[int], *, with_deleted: bool = False
) -> dict[int, list[ContactRow]]:
    """The rows of some people, each given by its oldest profile; soft-deleted rows only if asked for."""
    given = Bigints([root for root in roots if root > 0])
    cursor = bulk_cursor(connection)
    await cursor.execute(_OF_PEOPLE, (given, given, with_deleted))
    rows: dict[int, list[ContactRow]] = {}
    for root, contact_id, phone, email, linked_id, created_at, updated_at, profile in await cursor.fetchall():
        row = ContactRow(
            id=contact_id,
            phone=phone,
            email=email,
            linked_id=linked_id,
            created_at=created_at,
            updated_at=updated_at,
            profile=profile,
        )
        rows.setdefault(root, []).append(row)
    return rows


async def load_contact_values(
    connection: psycopg.AsyncConnection[Any], roots: Iterable[int]
) -> dict[int, list[KnownValue]]:
    """Every e-mail address and phone number of some people, each given by its oldest profile, the oldest value first.

    So many as the policy's limits let a person have.
    """
    given = Bigints([root for root in roots if root > 0])
    cursor = bulk_cursor(connection)
    await cursor.execute(_VALUES_OF_PEOPLE, (given, given))
    values: dict[int, list[KnownValue]] = {}
    for root, kind, shown, seen_at_us, profile, requested in await cursor.fetchall():
        seen_at = datetime.fromtimestamp(seen_at_us / 1e6, UTC)
        values.setdefault(root, []).append(
            KnownValue(type=kind, shown=shown, seen_at=seen_at, profile=profile, requested=requested)
        )
    return values


async def clear_contact_values(
    connection: psycopg.AsyncConnection[Any], erasure_id: str, compared: Callable[[str, str], str]
) -> None:
    """Removes an erased person's values from contact rows of others.

    Such rows were left by merges that were undone by an older release, which did not split rows. They are looked for
    among the people whose timelines this erasure searches.
    """
    cursor = await connection.execute("SELECT type, value FROM erasure_key WHERE erasure_id = %s", (erasure_id,))
    erased = {(row[0], row[1]) for row in await cursor.fetchall()}
    cursor = await connection.execute(
        'SELECT c.id, c.email, c."phoneNumber" FROM erasure_timeline t JOIN contact c ON c.profile_id = t.profile_id'
        " WHERE t.erasure_id = %s AND t.is_others",
        (erasure_id,),
    )
    for contact_id, email, phone in await cursor.fetchall():
        kept_email = None if email is None or ("email", compared("email", email)) in erased else email
        kept_phone = None if phone is None or ("phone", compared("phone", phone)) in erased else phone
        if (kept_email, kept_phone) != (email, phone):
            await connection.execute(
                'UPDATE contact SET email = %s, "phoneNumber" = %s WHERE id = %s', (kept_email, kept_phone, contact_id)
            )


async def save_split_rows(connection: psycopg.AsyncConnection[Any], rows: Iterable[ContactRow]) -> None:
    """Writes where rows belong now and which values they keep."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            'UPDATE contact SET profile_id = %s, email = %s, "phoneNumber" = %s WHERE id = %s',
            [(row.profile, row.email, row.phone, row.id) for row in rows],
        )


async def save_contacts(
    connection: psycopg.AsyncConnection[Any], book: ContactBook, merge_ids: Sequence[str], real: Callable[[int], int]
) -> dict[int, int]:
    """Writes what changed; returns the ids that new rows got. `real`: the stored id of a profile of the plan."""
    ids: dict[int, int] = {}
    if book.added:
        cursor = await connection.execute(
            "SELECT nextval('contact_ids')::integer FROM generate_series(1, %s)", (len(book.added),)
        )
        numbers = sorted(row[0] for row in await cursor.fetchall())
        ids = {row.id: number for row, number in zip(book.added, numbers, strict=True)}
        await copy_rows(
            bulk_cursor(connection),
            'contact (id, "phoneNumber", email, "linkedId", "linkPrecedence", "createdAt", "updatedAt", profile_id)',
            (_line(row, ids, real) for row in book.added),
        )
    if book.changed:
        changes = [
            (
                linked := None if row.linked_id is None else ids.get(row.linked_id, row.linked_id),
                linked,
                row.updated_at,
                row.id,
            )
            for row in sorted(book.changed.values(), key=lambda row: row.id)
        ]
        async with connection.cursor() as cursor:
            await cursor.executemany(_UPDATE, changes)
    await copy_rows(
        bulk_cursor(connection),
        "merge_contact (merge_id, contact_id)",
        (f"{merge_ids[merge]}\t{ids[row]}" for row, merge in book.made_by.items()),
    )
    return ids


def _line(row: ContactRow, ids: dict[int, int], real: Callable[[int], int]) -> str:
    linked = "\\N" if row.linked_id is None else str(ids.get(row.linked_id, row.linked_id))
    precedence = "primary" if row.linked_id is None else "secondary"
    return (
        f"{ids[row.id]}\t{nullable(row.phone)}\t{nullable(row.email)}\t{linked}\t{precedence}\t"
        f"{row.created_at.isoformat()}\t{row.updated_at.isoformat()}\t{real(row.profile)}"
    )
