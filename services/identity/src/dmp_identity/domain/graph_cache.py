"""What a process keeps of the stored graph, so that observations which change nothing need not be looked up.

Everything in the cache is true of one version of the graph. Merging, undoing, sharing and erasing make a new version.
Additions keep the version. They can only make one kind of entry wrong: who owns a weak identifier. Whoever uses such an
entry checks it again in the database, which costs less than a look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from sys import getsizeof
from typing import Final

import msgspec

from dmp_identity.domain.attribution import Candidate
from dmp_identity.domain.kept_entries import KeptEntries, Room, size_of_key, size_of_number, size_of_pair
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.locks_needed import LocksNeeded
from dmp_identity.domain.parsed_identifier import Key, Observation
from dmp_identity.domain.plan import NewLink, Plan
from dmp_identity.domain.snapshot import GraphVersion

_KEPT: Final = 400_000
_KEPT_LINK_BYTES: Final = 256 << 20
_LINK_BYTES: Final = 64
"""What a link takes beside its text."""
_MOST_LINKS: Final = 1000


class KnownProfile(msgspec.Struct, gc=False, eq=False):
    """A profile that the cache knows.

    person: the person it belonged to when `epoch` was the cache's.
    epoch: the cache's epoch when the person was looked up. If the cache has another one now, `person` says nothing.
    links: weak identifiers that the profile has; there may be more.
    """

    id: int
    person: int
    epoch: int
    links: set[Key]


class ProfilesWith(msgspec.Struct, frozen=True, gc=False):
    """Which profiles have a weak identifier.

    profile: the profile, if exactly one has it; else None.
    count: how many have it; 0 if they are so many that the identifier attributes nothing.
    candidates: if several have it, the first profile of each person, with that person as of `epoch`.
    epoch: the cache's epoch when this was looked up. If the cache has another one now, the people say nothing.
    """

    profile: KnownProfile | None
    count: int
    candidates: tuple[Candidate, ...]
    epoch: int


class MergesSince:
    """The merges since the cache looked people up: which person became part of which."""

    __slots__ = ("_absorbed", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._absorbed: dict[int, int] = {}

    def __contains__(self, person: int) -> bool:
        return person in self._absorbed

    def add(self, absorbed: Mapping[int, int]) -> bool:
        """Adds people who became part of others. False if there are more than the limit now."""
        self._absorbed.update(absorbed)
        return len(self._absorbed) <= self._limit

    def now(self, person: int) -> int:
        """The person whom one is part of now."""
        absorbed = self._absorbed
        while person in absorbed:
            person = absorbed[person]
        return person

    def clear(self) -> None:
        """Forgets all."""
        self._absorbed.clear()


class GraphCache:
    """The cache. It is told of an outcome only once that is committed, and keeps up to `limit` entries of each kind,
    with texts of at most 64 MiB, and links of at most 256 MiB.

    expected_locks: which locks the next batch of events is likely to need.
    epoch: how often all people were forgotten. What an entry of another epoch says of people is not believed.
    owners: strong identifier -> the profile at which it arrived, and a number for the observation in which it did.
    pairs: strong identifiers that were seen together.
    profiles_with: weak identifier -> who has it.
    anonymous: identifier -> its anonymous profile.
    merges: what happened to people since they were looked up.
    """

    def __init__(self, limit: int = _KEPT) -> None:
        self.expected_locks = LocksNeeded.NONE
        self.epoch = 0
        self.owners: KeptEntries[Key, tuple[KnownProfile, int]] = KeptEntries(Room(limit), size_of_key)
        self.profiles: KeptEntries[int, KnownProfile] = KeptEntries(Room(limit), size_of_number)
        self.pairs: KeptEntries[tuple[Key, Key], bool] = KeptEntries(Room(limit), size_of_pair)
        self.profiles_with: KeptEntries[Key, ProfilesWith] = KeptEntries(Room(limit), size_of_key)
        self.anonymous: KeptEntries[Key, KnownProfile] = KeptEntries(Room(limit), size_of_key)
        self.merges = MergesSince(limit)
        self._version: GraphVersion | None = None
        # What links took that were added since everything was dropped: profiles share texts, so they take less.
        self._link_bytes = 0
        self._arrivals = 0
        self.forgot: Callable[[str], None] = lambda _: None
        """Called with the reason whenever the cache has dropped what it knew of people."""

    def follow(self, version: GraphVersion) -> bool:
        """Drops what may not be true at this version. False if the cache is of a later one, and not to be used.

        The answer holds until the caller awaits anything: then others may have moved the cache on.
        """
        known = self._version
        if version == known:
            return True
        if known is not None and version.server == known.server:
            if version.people < known.people or version.evidence < known.evidence:
                return False
            if version.evidence == known.evidence:
                self._forget_people()
                self.forgot("merged_elsewhere")
                self._version = version
                return True
        self._forget()
        if known is not None:
            self.forgot("changed_elsewhere")
        self._version = version
        return True

    def person(self, profile: KnownProfile) -> int:
        """The person whom a profile of this epoch belongs to."""
        return self.merges.now(profile.person)

    def are_one_person(self, keys: Iterable[Key]) -> bool:
        """True if all of the strong identifiers are known to match, and to be one person's."""
        people = set()
        for key in keys:
            owner = self.owners.get(key)
            if owner is None or owner[0].epoch != self.epoch:
                return False
            people.add(self.person(owner[0]))
        return len(people) < 2

    def links_to_store(self, plan: Plan) -> list[NewLink]:
        """The plan's unchecked links that may not be stored yet."""
        return [link for (key, profile), link in plan.unchecked_links.items() if not self._has_link(key, profile)]

    def new_pairs(self, plan: Plan) -> dict[tuple[Key, Key], Observation]:
        """The plan's pairs that may not be stored yet."""
        return {pair: observation for pair, observation in plan.pairs.items() if self.pairs.get(pair) is None}

    def remember(self, learned: Learned) -> None:
        """Adds what a committed transaction found and stored. Does nothing if the transaction decided on another
        version of the graph than the cache is of.
        """
        before, after = learned.version, learned.after
        if before != self._version:
            return
        if after != before:
            if after != before._replace(people=before.people + 1):
                return
            self._version = after
            if not self.merges.add(learned.absorbed):
                self._forget_people()
                self.forgot("merges")
        profiles: dict[int, KnownProfile] = {}
        for number, person in learned.persons.items():
            profile = profiles[number] = self._profile(number)
            profile.person, profile.epoch = person, self.epoch
        made, least = self._arrivals, 0
        for key, (number, arrival) in learned.owners.items():
            least = min(least, arrival)
            self.owners.put(key, (profiles[number], arrival if arrival >= 0 else arrival - made))
        self._arrivals = made - least
        self._remember_links(learned, profiles)
        for pair in learned.pairs:
            self.pairs.put(pair, True)
        self._remember_profiles_with(learned, profiles)
        for key, number in learned.anonymous.items():
            self.anonymous.put(key, profiles[number])
        if self._link_bytes > _KEPT_LINK_BYTES:
            self._forget()
            self.forgot("memory")

    def _remember_links(self, learned: Learned, profiles: Mapping[int, KnownProfile]) -> None:
        for key, number in learned.links:
            links = (profiles.get(number) or self._profile(number)).links
            if len(links) >= _MOST_LINKS:
                links.clear()
            if key not in links:
                links.add(key)
                self._link_bytes += _LINK_BYTES + getsizeof(key[1])

    def _forget(self) -> None:
        """Drops everything."""
        self._forget_people()
        self.owners.clear()
        self.profiles.clear()
        self.pairs.clear()
        self.profiles_with.clear()
        self._link_bytes = 0

    def _remember_profiles_with(self, learned: Learned, profiles: Mapping[int, KnownProfile]) -> None:
        for key, profiles_with in learned.profiles_with.items():
            only = profiles[profiles_with[0]] if len(profiles_with) == 1 else None
            of_people: dict[int, Candidate] = {}
            for number in sorted(profiles_with) if only is None else ():
                person = learned.persons[number]
                of_people.setdefault(person, Candidate(number, person, person in learned.identified))
            self.profiles_with.put(key, ProfilesWith(only, len(profiles_with), tuple(of_people.values()), self.epoch))

    def _profile(self, number: int) -> KnownProfile:
        known = self.profiles.get(number)
        if known is None:
            known = KnownProfile(id=number, person=0, epoch=-1, links=set())
            self.profiles.put(number, known)
        return known

    def _has_link(self, key: Key, profile: int) -> bool:
        known = self.profiles.get(profile)
        return known is not None and key in known.links

    def _forget_people(self) -> None:
        self.epoch += 1
        self.merges.clear()
        # While its person was identified, another profile took its place; after an undo nothing else would tell.
        self.anonymous.clear()
