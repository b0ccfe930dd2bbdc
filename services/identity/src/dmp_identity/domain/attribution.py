"""Where an event goes that shows nothing strong: one rule, for resolving events and for placing them from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from dmp_identity.domain.reading import Reading

_YOUNGEST = 2**63


class Holder(NamedTuple):
    """A profile that has a weak identifier, the person whom it belongs to, and whether that person is identified."""

    profile: int
    person: int
    identified: bool


class Ownership(NamedTuple):
    """Who owns a weak identifier, and what could make that another.

    owner: None if nobody owns it, or several people do.
    more_matter: True if it may be another as soon as one more profile has the identifier.
    anonymous: people, not identified, of whom it may be another as soon as one is.
    """

    owner: Holder | None
    more_matter: bool
    anonymous: frozenset[int]


_NOBODY = Ownership(None, False, frozenset())


def ownership(holders: Sequence[Holder], *, identified_first: bool) -> Ownership:
    """Who owns a weak identifier that these have: the only person among them, by the profile that was made first.

    identified_first: people who are identified count before those who are not. If there is exactly one of them, that
    one owns it, whoever else has it.
    """
    people = {holder.person for holder in holders}
    if len(people) == 1:
        return Ownership(_first_made(holders), True, frozenset())
    if not people or not identified_first:
        return _NOBODY
    known = [holder for holder in holders if holder.identified]
    identified = {holder.person for holder in known}
    if len(identified) > 1:
        return _NOBODY
    return Ownership(_first_made(known) if known else None, True, frozenset(people - identified))


def attributed(readings: Iterable[Reading], owner_of: Callable[[Reading], Holder | None]) -> Holder | None:
    """The owner of the first identifier, in the policy's order, that attributes and has one.

    readings: in order of rank. owner_of: the owner of a weak identifier that attributes.
    """
    for reading in readings:
        if reading.attributes:
            owner = owner_of(reading)
            if owner is not None:
                return owner
    return None


def _first_made(holders: Iterable[Holder]) -> Holder:
    """The holder with the smallest id; what is made in a batch (below 0) comes after everything that exists."""
    return min(holders, key=lambda holder: holder.profile if holder.profile > 0 else _YOUNGEST - holder.profile)
