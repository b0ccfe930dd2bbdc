"""What the store knows about the identifiers of a batch, before the batch is resolved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from dmp_identity.domain.parsed_identifier import Key


class GraphVersion(NamedTuple):
    """The version of the stored graph that a statement saw. Adding profiles, identifiers or links keeps the version;
    every other change makes a new one.

    server: when the database server started. A restored database has another start, so nothing cached before is
    believed.
    people: the number of changes of who belongs together: merges, and their undoing.
    evidence: the number of changes that removed identifiers, links or pairs, or made values shared.
    """

    server: int
    people: int
    evidence: int


class Person(msgspec.Struct, gc=False):
    """A person: all profiles that are one, known by the oldest of them.

    created_at_us: when the oldest profile was made.
    identified: True if one of the profiles has a strong identifier.
    size: how many strong identifiers the person has.
    counts: type -> how many of them count towards the type's limit (those within its period).
    """

    created_at_us: int
    identified: bool
    size: int = 0
    counts: dict[str, int] = {}


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """A consistent view. Profile ids are positive; a profile's person is the id of the oldest profile in its cluster.

    version: of the graph that was seen.
    owners: strong identifier -> the profile at which it arrived.
    arrivals: strong identifier -> a number for the observation in which it arrived there, the same for all that did.
    shared: those of them that match nobody any more.
    persons: profile -> person, for every profile named anywhere. people: person -> what is known of it.
    profiles_with: weak identifier that may attribute -> the profiles that have it: all, or one more than the policy
    allows.
    anonymous: identifier -> its anonymous profile, whose person is not identified.
    apart: pairs of profiles that somebody said are different people.
    together: strong identifier -> those that were ever seen together with it, joined or not.
    """

    version: GraphVersion
    owners: Mapping[Key, int] = field(default_factory=dict)
    arrivals: Mapping[Key, int] = field(default_factory=dict)
    shared: frozenset[Key] = frozenset()
    persons: Mapping[int, int] = field(default_factory=dict)
    people: Mapping[int, Person] = field(default_factory=dict)
    profiles_with: Mapping[Key, Sequence[int]] = field(default_factory=dict)
    anonymous: Mapping[Key, int] = field(default_factory=dict)
    apart: Sequence[tuple[int, int]] = ()
    together: Mapping[Key, Collection[Key]] = field(default_factory=dict)

    def are_one_person(self, keys: Iterable[Key]) -> bool:
        """True if somebody has all of these identifiers, the same person, and each still matches."""
        people = set()
        for key in keys:
            owner = self.owners.get(key)
            if owner is None or key in self.shared:
                return False
            people.add(self.persons[owner])
        return len(people) < 2
