"""Erasures in PostgreSQL: what was asked for, how far it is, and whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database, raw
from dmp_ingest.domain.erasure_steps import Erased, Erasure, Whom

_COLUMNS: Final = (
    "id::text, internal_user_id, identifier, value, requested_at, receipt, cleaned_events, completed_at IS NOT NULL"
)
_ADD: Final = (
    "INSERT INTO erasure (id, actor, internal_user_id, identifier, value, requested_at, cleaned_events, due_at)"
    " VALUES (%(id)s, %(actor)s, %(internal_user_id)s, nullif(%(identifier)s, ''), nullif(%(value)s, ''), now(), 0,"
    " now() + %(lease)s * interval '1 second')"
)
_FIND: Final = f"SELECT {_COLUMNS} FROM erasure WHERE id = %(id)s"  # noqa: S608  # a constant
_FIND_OPEN: Final = (
    f"SELECT {_COLUMNS} FROM erasure WHERE completed_at IS NULL"  # noqa: S608  # a constant
    " AND internal_user_id = %(internal_user_id)s AND identifier IS NOT DISTINCT FROM nullif(%(identifier)s, '')"
    " AND value IS NOT DISTINCT FROM nullif(%(value)s, '') ORDER BY requested_at LIMIT 1"
)
_TAKE: Final = f"""
UPDATE erasure SET due_at = now() + %(lease)s * interval '1 second' WHERE id = (
  SELECT id FROM erasure WHERE completed_at IS NULL AND due_at <= now()
  ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {_COLUMNS}
"""  # noqa: S608  # a constant
# Identity knows by now whom it is about: the identifier need not be kept.
_NOTE: Final = (
    "UPDATE erasure SET receipt = %(receipt)s, identifier = NULL, value = NULL,"
    " internal_user_id = coalesce(nullif(internal_user_id, ''), %(known_as)s) WHERE id = %(id)s"
)
_LATE: Final = (
    "SELECT EXISTS (SELECT FROM outbox WHERE batch_id <= %(id)s::uuid)"
    " OR now() < (SELECT requested_at FROM erasure WHERE id = %(id)s) + %(settled)s * interval '1 second'"
)
_COMPLETE: Final = (
    "UPDATE erasure SET completed_at = now() WHERE id = %s AND completed_at IS NULL"
    " RETURNING actor, receipt, cleaned_events"
)
_NOBODY: Final = "-"


class Erasures:
    """Every step is a transaction of its own and may be taken again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, erasure_id: str, whom: Whom, *, asked: Asked, lease_seconds: float) -> Erasure:
        """Makes the request durable, and the act with it. Nobody else goes on with it before the lease is over."""
        parameters = {
            "id": erasure_id,
            "actor": asked.actor,
            "internal_user_id": whom.internal_user_id,
            "identifier": whom.identifier,
            "value": whom.value,
            "lease": lease_seconds,
        }
        subjects = [whom.internal_user_id] if whom.internal_user_id else []
        async with self._database.begin() as transaction:
            await raw(transaction).execute(_ADD.encode(), parameters)
            await record(raw(transaction), _action(erasure_id, asked.actor, "requested", subjects=subjects))
        erasure = await self.find(erasure_id)
        assert erasure is not None
        return erasure

    async def forget(self, erasure_id: str) -> None:
        """Drops a request for somebody who does not exist."""
        async with self._database.begin() as transaction:
            cursor = await raw(transaction).execute(
                b"DELETE FROM erasure WHERE id = %s AND receipt IS NULL RETURNING actor", (erasure_id,)
            )
            row = await cursor.fetchone()
            if row is not None:
                await record(raw(transaction), _action(erasure_id, row[0], "nobody"))

    async def find(self, erasure_id: str) -> Erasure | None:
        """One erasure, None if there is none of this id."""
        found = await self._read(_FIND, id=erasure_id)
        return found[0] if found else None

    async def find_open(self, whom: Whom) -> Erasure | None:
        """The erasure that was asked for in the same words and is not complete, None if there is none."""
        found = await self._read(
            _FIND_OPEN, internal_user_id=whom.internal_user_id, identifier=whom.identifier, value=whom.value
        )
        return found[0] if found else None

    async def take_due(self, *, lease_seconds: float) -> Erasure | None:
        """The open erasure that has waited longest, None if none is due; nobody else takes it within the lease."""
        async with self._database.begin() as transaction:
            row = await (await raw(transaction).execute(_TAKE.encode(), {"lease": lease_seconds})).fetchone()
        return None if row is None else _from_row(row)

    async def put_back(self, erasure_id: str, *, pause_seconds: float) -> None:
        """Lets an erasure that went on wait for its next turn."""
        await self._write(
            "UPDATE erasure SET failures = 0, due_at = now() + %(pause)s * interval '1 second' WHERE id = %(id)s",
            id=erasure_id,
            pause=pause_seconds,
        )

    async def put_off(self, erasure_id: str, *, first_seconds: float, longest_seconds: float) -> None:
        """Lets an erasure that could not go on wait, twice as long each time."""
        await self._write(
            "UPDATE erasure SET failures = failures + 1, due_at = now() + interval '1 second'"
            " * least(%(longest)s::float8, %(first)s::float8 * 2 ^ least(failures, 20)) WHERE id = %(id)s",
            id=erasure_id,
            first=first_seconds,
            longest=longest_seconds,
        )

    async def note_erased(self, erasure_id: str, erased: Erased) -> None:
        """Keeps what identity has erased."""
        await self._write(
            _NOTE,
            id=erasure_id,
            receipt=msgspec.json.encode(erased).decode(),
            known_as=erased.internal_user_ids[0] if erased.internal_user_ids else _NOBODY,
        )

    async def add_cleaned(self, erasure_id: str, count: int) -> None:
        """Counts events that lost personal fields."""
        await self._write(
            "UPDATE erasure SET cleaned_events = cleaned_events + %(count)s WHERE id = %(id)s",
            id=erasure_id,
            count=count,
        )

    async def may_still_arrive(self, erasure_id: str, *, settled_seconds: float) -> bool:
        """Whether a batch from before the erasure may still arrive anywhere, or waits in the outbox with its values.

        settled_seconds: after so long every commit that had begun before the erasure has ended.
        """
        async with self._database.read() as transaction:
            cursor = await raw(transaction).execute(_LATE, {"id": erasure_id, "settled": settled_seconds})
            row = await cursor.fetchone()
        return row is None or bool(row[0])

    async def complete(self, erasure_id: str) -> None:
        """Notes that nothing is left to do, with what was done as an act of whoever asked for it."""
        async with self._database.begin() as transaction:
            cursor = await raw(transaction).execute(_COMPLETE.encode(), (erasure_id,))
            row = await cursor.fetchone()
            if row is None:
                return
            actor, receipt, cleaned_events = row
            erased = msgspec.convert(receipt, Erased)
            counts = {
                "identifiers": erased.identifiers,
                "contacts": erased.contacts,
                "merges": erased.merges,
                "timeline_entries": erased.timeline_entries,
                "cleaned_events": cleaned_events,
            }
            action = _action(erasure_id, actor, "complete", subjects=erased.internal_user_ids, counts=counts)
            await record(raw(transaction), action)

    async def _write(self, statement: str, **parameters: object) -> None:
        async with self._database.begin() as transaction:
            await raw(transaction).execute(statement.encode(), parameters)

    async def _read(self, query: str, **parameters: object) -> list[Erasure]:
        async with self._database.read() as transaction:
            rows: list[tuple[Any, ...]] = await (await raw(transaction).execute(query.encode(), parameters)).fetchall()
        return [_from_row(row) for row in rows]


def _from_row(row: tuple[Any, ...]) -> Erasure:
    return Erasure(
        erasure_id=row[0],
        whom=Whom(internal_user_id=row[1], identifier=row[2] or "", value=row[3] or ""),
        requested_at=row[4],
        erased=msgspec.convert(row[5], Erased) if row[5] is not None else None,
        cleaned_events=row[6],
        complete=row[7],
    )


def _action(
    erasure_id: str,
    actor: str,
    result: str,
    *,
    subjects: Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
) -> Action:
    return Action(
        kind="erase_person",
        actor=actor,
        result=result,
        subjects=subjects,
        refs={"erasure_id": erasure_id},
        counts=dict(counts or {}),
    )
