"""The rules of contacts: one row for each new pair of values of a person, the oldest row is the primary, all others
are linked to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

_YOUNGEST: Final = 2**63

Compared: TypeAlias = Callable[[str, str], str]
"""A value as it is compared, by its type and its text."""


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
    """What a request asks for, as it is shown: an e-mail address, a phone number or both."""

    email: str | None
    phone: str | None


class KnownValue(msgspec.Struct, frozen=True):
    """An e-mail address or a phone number of a person, whoever showed it.

    type: `email` or `phone`.
    shown: the first spelling seen.
    seen_at: when it became known.
    profile: where it arrived.
    requested: a request showed it first. It is listed as long as a row shows it, and not any more once that is deleted.
    """

    type: str
    shown: str
    seen_at: datetime
    profile: int
    requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactAnswer:
    """A person's contact with every value that is known of them: the primary's first, then by age, each once."""

    primary_id: int
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    secondary_ids: tuple[int, ...]


def age(row: ContactRow) -> tuple[datetime, int]:
    """Sorts rows: the oldest first, ties by id; rows made here have larger ids than those that exist."""
    return (row.created_at, row.id if row.id > 0 else _YOUNGEST - row.id)


class ContactBook:
    """The contacts of some people in memory, and what changes.

    rows, known: by person; what is known matters to answers only. compared: how values are compared: of two spellings
    of one value the first one seen is shown.
    """

    def __init__(
        self,
        rows: Mapping[int, Iterable[ContactRow]],
        known: Mapping[int, Iterable[KnownValue]],
        *,
        now: datetime,
        compared: Compared,
    ) -> None:
        self._rows = {person: sorted(of_person, key=age) for person, of_person in rows.items()}
        self._known = {person: list(of_person) for person, of_person in known.items()}
        self._now = now
        self._compared = compared
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
        self._known.setdefault(survivor, []).extend(self._known.pop(merged, ()))
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
        """Adds a row if one of the values is new to the person, or if the person has no row.

        `merge`: the position of the merge that the same request made, None if it made none.
        """
        rows = self._rows.setdefault(person, [])
        compared = self._compared
        emails = {compared("email", row.email) for row in rows if row.email is not None}
        phones = {compared("phone", row.phone) for row in rows if row.phone is not None}
        is_new = (values.email is not None and compared("email", values.email) not in emails) or (
            values.phone is not None and compared("phone", values.phone) not in phones
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
        return ContactAnswer(
            primary_id=rows[0].id,
            emails=self._listed("email", [(row.email, row.created_at) for row in rows], person),
            phones=self._listed("phone", [(row.phone, row.created_at) for row in rows], person),
            secondary_ids=tuple(row.id for row in rows[1:]),
        )

    def _listed(self, kind: str, of_rows: Sequence[tuple[str | None, datetime]], person: int) -> tuple[str, ...]:
        """The person's values of a type, each in its first spelling: the primary's, then the others by age."""
        seen = [(shown, at) for shown, at in of_rows if shown is not None]
        seen += [
            (value.shown, value.seen_at)
            for value in self._known.get(person, ())
            if value.type == kind and not value.requested
        ]
        primary = of_rows[0][0]
        first = None if primary is None else self._compared(kind, primary)
        listed: dict[str, str] = {}
        for shown, _ in sorted(seen, key=lambda value: value[1]):
            listed.setdefault(self._compared(kind, shown), shown)
        return tuple(shown for _, shown in sorted(listed.items(), key=lambda value: value[0] != first))

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
