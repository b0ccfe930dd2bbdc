"""Who owns a weak identifier: the one rule, for resolving events and for attributing them from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from dmp_identity.domain.parsed_identifier import ParsedIdentifier

_YOUNGEST = 2**63


class Candidate(NamedTuple):
    """A profile that has a weak identifier, the person whom it belongs to, and whether that person is identified."""

    profile: int
    person: int
    identified: bool


class Ownership(NamedTuple):
    """Who owns a weak identifier, and what would change that.

    owner: None if nobody owns it, or several people do.
    more_matter: True if the owner can change when one more profile gets the identifier.
    anonymous: anonymous people who have it. The owner can change when one of them becomes identified.
    """

    owner: Candidate | None
    more_matter: bool
    anonymous: frozenset[int]


_NOBODY = Ownership(None, False, frozenset())


def ownership(candidates: Sequence[Candidate], *, identified_first: bool) -> Ownership:
    """Who owns a weak identifier that these have: the only person among them, by the profile that was made first.

    identified_first: people who are identified count before those who are not. If there is exactly one of them, that
    one owns it, whoever else has it.
    """
    people = {candidate.person for candidate in candidates}
    if len(people) == 1:
        return Ownership(_first_made(candidates), True, frozenset())
    if not people or not identified_first:
        return _NOBODY
    known = [candidate for candidate in candidates if candidate.identified]
    identified = {candidate.person for candidate in known}
    if len(identified) > 1:
        return _NOBODY
    return Ownership(_first_made(known) if known else None, True, frozenset(people - identified))


def attributed(
    identifiers: Iterable[ParsedIdentifier], owner_of: Callable[[ParsedIdentifier], Candidate | None]
) -> Candidate | None:
    """The owner of the first identifier, in the policy's order, that attributes and has one.

    identifiers: in order of rank. owner_of: the owner of a weak identifier that attributes.
    """
    for parsed in identifiers:
        if parsed.attributes:
            owner = owner_of(parsed)
            if owner is not None:
                return owner
    return None


def _first_made(candidates: Iterable[Candidate]) -> Candidate:
    """The candidate with the smallest id; what is made in a batch (below 0) comes after everything that exists."""
    return min(
        candidates, key=lambda candidate: candidate.profile if candidate.profile > 0 else _YOUNGEST - candidate.profile
    )
