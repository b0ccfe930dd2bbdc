"""Erasures in PostgreSQL, and the cleaning of the log's personal fields."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dmp_chassis.database import Database, raw
from dmp_ingest.domain.erasure import Erased, Erasure

_COLUMNS: Final = "id::text, internal_user_id, requested_at, receipt, cleaned_events, completed_at IS NOT NULL"
_ADD: Final = (
    "INSERT INTO erasure (id, internal_user_id, requested_at, cleaned_events)"
    " VALUES (%(id)s, %(internal_user_id)s, now(), 0)"
)
_FIND: Final = f"SELECT {_COLUMNS} FROM erasure WHERE id = %(id)s"  # noqa: S608  # a constant
_FIND_OPEN: Final = (
    f"SELECT {_COLUMNS} FROM erasure WHERE completed_at IS NULL"  # noqa: S608  # a constant
    " AND (%(internal_user_id)s::text IS NULL OR internal_user_id = %(internal_user_id)s)"
    " ORDER BY requested_at LIMIT 20"
)
_CLEAN: Final = (
    "UPDATE event SET user_id = NULL, identifiers = NULL, metadata = NULL WHERE event_key = ANY(%(keys)s::uuid[])"
    " AND (user_id IS NOT NULL OR identifiers IS NOT NULL OR metadata IS NOT NULL)"
)
_LATE: Final = (
    "SELECT EXISTS (SELECT FROM outbox WHERE NOT identity_applied AND batch_id <= %(id)s::uuid)"
    " OR now() < (SELECT requested_at FROM erasure WHERE id = %(id)s) + %(settled)s * interval '1 second'"
)


class Erasures:
    """Every step is a transaction of its own and may be taken again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, erasure_id: str, internal_user_id: str) -> Erasure:
        """Makes the request durable."""
        await self._write(_ADD, id=erasure_id, internal_user_id=internal_user_id)
        erasure = await self.find(erasure_id)
        assert erasure is not None
        return erasure

    async def forget(self, erasure_id: str) -> None:
        """Drops a request for somebody who does not exist."""
        await self._write("DELETE FROM erasure WHERE id = %(id)s AND receipt IS NULL", id=erasure_id)

    async def find(self, erasure_id: str) -> Erasure | None:
        """One erasure, None if there is none of this id."""
        found = await self._read(_FIND, id=erasure_id)
        return found[0] if found else None

    async def find_open(self, internal_user_id: str | None = None) -> list[Erasure]:
        """Erasures that are not complete, oldest first, at most 20; only those of one id if it is given."""
        return await self._read(_FIND_OPEN, internal_user_id=internal_user_id)

    async def note_erased(self, erasure_id: str, erased: Erased) -> None:
        """Keeps what identity has erased."""
        receipt = msgspec.json.encode(erased).decode()
        await self._write("UPDATE erasure SET receipt = %(receipt)s WHERE id = %(id)s", id=erasure_id, receipt=receipt)

    async def clean(self, erasure_id: str, keys: Sequence[bytes]) -> None:
        """Takes the personal fields of these events out of the log; ids, counts and times stay."""
        async with self._database.begin() as transaction:
            connection = raw(transaction)
            cursor = await connection.execute(_CLEAN, {"keys": [str(uuid.UUID(bytes=key)) for key in keys]})
            await connection.execute(
                "UPDATE erasure SET cleaned_events = cleaned_events + %(count)s WHERE id = %(id)s",
                {"id": erasure_id, "count": cursor.rowcount},
            )

    async def may_still_arrive(self, erasure_id: str, *, settled_seconds: float) -> bool:
        """Whether a batch from before the erasure may still reach identity.

        settled_seconds: after so long every commit that had begun before the erasure has ended.
        """
        async with self._database.read() as transaction:
            cursor = await raw(transaction).execute(_LATE, {"id": erasure_id, "settled": settled_seconds})
            row = await cursor.fetchone()
        return row is None or bool(row[0])

    async def complete(self, erasure_id: str) -> None:
        """Notes that nothing is left to do."""
        await self._write("UPDATE erasure SET completed_at = now() WHERE id = %(id)s", id=erasure_id)

    async def _write(self, statement: str, **parameters: object) -> None:
        async with self._database.begin() as transaction:
            await raw(transaction).execute(statement.encode(), parameters)

    async def _read(self, query: str, **parameters: object) -> list[Erasure]:
        async with self._database.read() as transaction:
            rows: list[tuple[Any, ...]] = await (await raw(transaction).execute(query.encode(), parameters)).fetchall()
        return [
            Erasure(
                erasure_id=row[0],
                internal_user_id=row[1],
                requested_at=row[2],
                erased=msgspec.convert(row[3], Erased) if row[3] is not None else None,
                cleaned_events=row[4],
                complete=row[5],
            )
            for row in rows
        ]
