"""The identity graph of one batch in memory: a snapshot that takes changes, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dmp_identity.domain.attribution import Candidate
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.plan import NewProfile
from dmp_identity.domain.snapshot import Person, Snapshot

_YOUNGEST = 2**63


class Graph:
    """A working copy of a snapshot. Profiles made here have negative ids, counting down."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.owners = dict(snapshot.owners)
        self.arrivals = dict(snapshot.arrivals)
        self.shared = set(snapshot.shared)
        self.profiles_with = {key: list(profiles) for key, profiles in snapshot.profiles_with.items()}
        self.anonymous = dict(snapshot.anonymous)
        self._together = {key: set(others) for key, others in snapshot.together.items()}
        self.created: list[NewProfile] = []
        self.people = {
            root: Person(created_at_us=p.created_at_us, identified=p.identified, size=p.size, counts=dict(p.counts))
            for root, p in snapshot.people.items()
        }
        self.absorbed: dict[int, int] = {}
        self._persons = dict(snapshot.persons)
        self._apart = snapshot.apart

    def person(self, profile: int) -> int:
        """The person whom the profile belongs to, after the merges so far."""
        root = self._persons[profile]
        absorbed = self.absorbed
        while root in absorbed:
            root = absorbed[root]
        return root

    def age(self, root: int) -> tuple[int, int]:
        """Sorts people: the oldest first, ties by id; what is made here has larger ids than everything that exists."""
        return (self.people[root].created_at_us, root if root > 0 else _YOUNGEST - root)

    def create(self, created_at_us: int, *, identified: bool) -> int:
        """A new profile, a person of its own."""
        profile = -1 - len(self.created)
        self.created.append(NewProfile(id=profile, created_at_us=created_at_us, identified=identified))
        self._persons[profile] = profile
        self.people[profile] = Person(created_at_us=created_at_us, identified=identified, counts={})
        return profile

    def merge(self, first: int, second: int) -> tuple[int, int]:
        """Makes two people one; returns the survivor, the older one, and the merged."""
        survivor, merged = sorted((first, second), key=self.age)
        self.absorbed[merged] = survivor
        into, gone = self.people[survivor], self.people[merged]
        into.identified = into.identified or gone.identified
        into.size += gone.size
        for name, count in gone.counts.items():
            into.counts[name] = into.counts.get(name, 0) + count
        return survivor, merged

    def add_identifier(self, key: Key, profile: int) -> None:
        """Gives a strong identifier to a profile."""
        self.owners[key] = profile
        person = self.people[self.person(profile)]
        person.identified = True
        person.size += 1
        person.counts[key[0]] = person.counts.get(key[0], 0) + 1

    def note_together(self, keys: Sequence[Key]) -> None:
        """Notes that strong identifiers were seen together."""
        for key in keys:
            self._together.setdefault(key, set()).update(other for other in keys if other != key)

    def would_exceed(self, key: Key, others: Iterable[Key], limit: int) -> bool:
        """True if an identifier would come with more than `limit` values of one type, one of these included."""
        together = self._together.get(key, ())
        return len(together) >= limit and any(
            other not in together and sum(one[0] == other[0] for one in together) >= limit for other in others
        )

    def candidates_for(self, key: Key) -> list[Candidate]:
        """The profiles that have a weak identifier, as far as they are known."""
        found = []
        for profile in self.profiles_with.get(key, ()):
            person = self.person(profile)
            found.append(Candidate(profile, person, self.people[person].identified))
        return found

    def anonymous_profile(self, key: Key) -> int | None:
        """The anonymous profile of an identifier, None if it has none or that person is identified by now."""
        profile = self.anonymous.get(key)
        return None if profile is None or self.people[self.person(profile)].identified else profile

    def are_apart(self, first: int, second: int) -> bool:
        """True if somebody said that these two people are different."""
        return any({self.person(a), self.person(b)} == {first, second} for a, b in self._apart)

    def new_persons(self) -> dict[int, int]:
        """The person of each profile made here."""
        return {profile.id: self.person(profile.id) for profile in self.created}

    def settled_profiles(self) -> list[NewProfile]:
        """The profiles made here, with what is known of their people at the end."""
        return [msgspec.structs.replace(p, identified=self.people[p.id].identified) for p in self.created]
