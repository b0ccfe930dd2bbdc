"""What a process remembers of the stored graph, so that sightings which change nothing need not be looked up.

Everything remembered is true of one version of the graph. Storing something new makes none of it wrong and no new
version; merging, undoing, sharing and erasing do make one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

import msgspec

from dmp_identity.domain.plan import NewLink, Plan
from dmp_identity.domain.reading import Key, Reading, Sighting, ranked
from dmp_identity.domain.snapshot import GraphVersion

_K = TypeVar("_K")
_V = TypeVar("_V")
_KEPT: Final = 400_000


class Expected(Enum):
    """What sightings are expected to change, by the last ones of their kind: those that change come in waves."""

    NOTHING = 0
    IDENTIFIERS = 1
    PEOPLE = 2


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction found or stored, under the ids that are stored.

    version: of the graph that it decided on. after: the version that it made of it, the same if none. owners: strong
    identifier that matches -> the profile at which it arrived, and the sighting, negative if it was made here. persons:
    profile -> person. absorbed: person -> the person it is part of since. links: weak identifiers that profiles have.
    """

    version: GraphVersion
    after: GraphVersion
    owners: Mapping[Key, tuple[int, int]]
    persons: Mapping[int, int]
    absorbed: Mapping[int, int]
    links: Iterable[tuple[Key, int]]
    pairs: Iterable[tuple[Key, Key]]


class _Kept(Generic[_K, _V]):
    """The entries that were added or asked for last: at least half of `limit`, at most all of it."""

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        found = self._young.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self._young[key] = found
                self._turn()
        return found

    def update(self, entries: Mapping[_K, _V]) -> None:
        if len(entries) > self._half:
            return
        self._young.update(entries)
        self._turn()

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def _turn(self) -> None:
        if len(self._young) > self._half:
            self._young, self._old = {}, self._young


class GraphMemory:
    """To be told of an outcome only once that is committed. Keeps up to `limit` entries of each kind.

    expected: what the next batch of events is going to change, for all that is known.
    """

    def __init__(self, limit: int = _KEPT) -> None:
        self.expected = Expected.NOTHING
        self._version: GraphVersion | None = None
        self._owners: _Kept[Key, tuple[int, int]] = _Kept(limit)
        self._persons: _Kept[int, int] = _Kept(limit)
        self._links: _Kept[tuple[Key, int], bool] = _Kept(limit)
        self._pairs: _Kept[tuple[Key, Key], bool] = _Kept(limit)
        self._absorbed: dict[int, int] = {}
        self._limit = limit
        self._arrivals = 0

    def follow(self, version: GraphVersion) -> bool:
        """Forgets what need not be true at this version. False if the memory is of a later one, and not to be used.

        What it says holds until the caller waits for anything: then others may have moved it on.
        """
        known = self._version
        if version == known:
            return True
        if known is not None and version.server == known.server:
            if version.people < known.people or version.evidence < known.evidence:
                return False
            if version.evidence == known.evidence:
                self._forget_people()
                self._version = version
                return True
        self._forget_people()
        for kept in (self._owners, self._links, self._pairs):
            kept.clear()
        self._version = version
        return True

    def settled(self, readings: Sequence[Reading]) -> int:
        """The profile to which a sighting of these goes if it is sure that nothing else happens; otherwise 0."""
        first: Reading | None = None
        for reading in readings:
            if reading.proves:
                if first is None:
                    first = reading
                elif reading.key != first.key:
                    return self._settled_by_several(readings)
            elif reading.flaw is not None:
                return 0
        if first is None:
            return 0
        owner = self._owners.get(first.key)
        if owner is None or self._persons.get(owner[0]) is None:
            return 0
        return owner[0] if self._has_links(readings, owner[0]) else 0

    def person(self, profile: int) -> int:
        """The person whom a profile belongs to, 0 if that is not known."""
        person = self._persons.get(profile)
        if person is None:
            return 0
        absorbed = self._absorbed
        while person in absorbed:
            person = absorbed[person]
        return person

    def owners_among(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Those of the strong identifiers that are known -> the profile at which they arrived."""
        found = {}
        for key in keys:
            owner = self._owners.get(key)
            if owner is not None:
                found[key] = owner[0]
        return found

    def new_hints(self, plan: Plan) -> list[NewLink]:
        """The plan's hints that may not be stored yet."""
        return [link for place, link in plan.hints.items() if self._links.get(place) is None]

    def new_pairs(self, plan: Plan) -> dict[tuple[Key, Key], Sighting]:
        """The plan's pairs that may not be stored yet."""
        return {pair: sighting for pair, sighting in plan.pairs.items() if self._pairs.get(pair) is None}

    def remember(self, learned: Learned) -> None:
        """Notes what a committed transaction found and stored, if it decided on the version that this is of."""
        before, after = learned.version, learned.after
        if before != self._version:
            return
        if after != before:
            if after != before._replace(people=before.people + 1):
                return
            self._absorbed.update(learned.absorbed)
            self._version = after
            if len(self._absorbed) > self._limit:
                self._forget_people()
        made = self._arrivals
        owners = {key: owner if owner[1] >= 0 else (owner[0], owner[1] - made) for key, owner in learned.owners.items()}
        self._arrivals = made - min((owner[1] for owner in learned.owners.values()), default=0)
        self._owners.update(owners)
        self._persons.update(learned.persons)
        self._links.update(dict.fromkeys(learned.links, True))
        self._pairs.update(dict.fromkeys(learned.pairs, True))

    def _settled_by_several(self, readings: Sequence[Reading]) -> int:
        strong = ranked({reading.key: reading for reading in readings if reading.proves})
        owners = []
        for reading in strong:
            owner = self._owners.get(reading.key)
            if owner is None:
                return 0
            owners.append(owner)
        profile = owners[0][0]
        person = self.person(profile)
        if not person or any(self.person(owner[0]) != person for owner in owners):
            return 0
        for position, owner in enumerate(owners):
            one = strong[position].key
            for second in range(position + 1, len(owners)):
                other = strong[second].key
                if owner != owners[second] and self._pairs.get((one, other) if one < other else (other, one)) is None:
                    return 0
        return profile if self._has_links(readings, profile) else 0

    def _has_links(self, readings: Sequence[Reading], profile: int) -> bool:
        for reading in readings:
            if not reading.proves and (reading.flaw is not None or self._links.get((reading.key, profile)) is None):
                return False
        return True

    def _forget_people(self) -> None:
        self._persons.clear()
        self._absorbed.clear()
