"""The rules of contacts: one row for each new pair of values of a person, the oldest row is the primary, all others
are linked to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

_YOUNGEST = 2**63


class ContactRow(msgspec.Struct, gc=False):
    """One row of the contact table. Rows that do not exist yet have negative ids. Soft-deleted rows are never
    loaded.
    """

    id: int
    phone: str | None
    email: str | None
    linked_id: int | None
    created_at: datetime
    updated_at: datetime
    profile: int


class ContactValues(msgspec.Struct, frozen=True):
    """What a request asks for, as stored: an e-mail address, a phone number or both, and both as they are compared."""

    email: str | None
    phone: str | None
    email_key: str | None
    phone_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactAnswer:
    """A person's contact: the primary's values first, then by age of row, each once."""

    primary_id: int
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    secondary_ids: tuple[int, ...]


def age(row: ContactRow) -> tuple[datetime, int]:
    """Sorts rows: the oldest first, ties by id; rows made here have larger ids than those that exist."""
    return (row.created_at, row.id if row.id > 0 else _YOUNGEST - row.id)


class ContactBook:
    """The contacts of some people in memory, and what changes. `phone_key`: how phone numbers are compared."""

    def __init__(
        self, rows: Mapping[int, Iterable[ContactRow]], *, now: datetime, phone_key: Callable[[str], str]
    ) -> None:
        self._rows = {person: sorted(of_person, key=age) for person, of_person in rows.items()}
        self._now = now
        self._phone_key = phone_key
        self.added: list[ContactRow] = []
        self.changed: dict[int, ContactRow] = {}
        self.made_by: dict[int, int] = {}
        """Added row -> the position of the merge that the same request made; it goes if the merge is undone."""

    @property
    def has_changes(self) -> bool:
        """True if a row has to be written."""
        return bool(self.added or self.changed)

    def rows(self, person: int) -> Sequence[ContactRow]:
        """The person's rows, the oldest first."""
        return self._rows.get(person, [])

    def combine(self, survivor: int, merged: int) -> None:
        """Two people have become one: the older primary stays."""
        gone = self._rows.pop(merged, [])
        rows = self._rows.get(survivor, [])
        if gone:
            both = self._rows[survivor] = sorted([*rows, *gone], key=age)
            if rows:
                self._link(both)

    def settle(self, person: int) -> None:
        """Makes the oldest of the person's rows the primary, as after a row was deleted by hand."""
        self._link(self._rows.get(person, []))

    def record(self, person: int, profile: int, values: ContactValues, merge: int | None) -> None:
        """Adds a row for values of which the person has one not yet, or no row at all.

        `merge`: the position of the merge that the same request made, None if it made none.
        """
        rows = self._rows.setdefault(person, [])
        emails = {row.email for row in rows}
        phones = {self._phone_key(row.phone) for row in rows if row.phone is not None}
        is_new = (values.email_key is not None and values.email_key not in emails) or (
            values.phone_key is not None and values.phone_key not in phones
        )
        if rows and not is_new:
            return
        created_at = max(self._now, rows[-1].created_at) if rows else self._now
        row = ContactRow(
            id=-1 - len(self.added),
            phone=values.phone,
            email=values.email,
            linked_id=rows[0].id if rows else None,
            created_at=created_at,
            updated_at=created_at,
            profile=profile,
        )
        rows.append(row)
        self.added.append(row)
        if merge is not None:
            self.made_by[row.id] = merge

    def answer(self, person: int) -> ContactAnswer:
        """The contact of a person who has a row."""
        rows = self._rows[person]
        phones: dict[str, str] = {}
        for row in rows:
            if row.phone is not None:
                phones.setdefault(self._phone_key(row.phone), row.phone)
        return ContactAnswer(
            primary_id=rows[0].id,
            emails=tuple(dict.fromkeys(row.email for row in rows if row.email is not None)),
            phones=tuple(phones.values()),
            secondary_ids=tuple(row.id for row in rows[1:]),
        )

    def _link(self, rows: Sequence[ContactRow]) -> None:
        """Links all rows to the oldest. Rows whose link changes are touched, and so is the primary that they are
        linked to.
        """
        moved = [row for position, row in enumerate(rows) if row.linked_id != (rows[0].id if position else None)]
        if not moved:
            return
        for row in rows:
            if row in moved or row is rows[0]:
                row.linked_id = None if row is rows[0] else rows[0].id
                row.updated_at = max(self._now, row.updated_at)
                if row.id > 0:
                    self.changed[row.id] = row
