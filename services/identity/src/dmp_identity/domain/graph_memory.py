"""What a process remembers of the stored graph, so that sightings which change nothing need not be looked up.

Everything remembered is true of one version of the graph. Merging, undoing, sharing and erasing make a new one. Storing
something new makes none, and nothing wrong but who has a weak identifier: whoever relies on that has to look whether it
is still so, which costs less than to look it up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

import msgspec

from dmp_identity.domain.attribution import Holder, attributed, ownership
from dmp_identity.domain.plan import NewLink, Plan
from dmp_identity.domain.reading import Key, Reading, Sighting, ranked
from dmp_identity.domain.snapshot import GraphVersion

_K = TypeVar("_K")
_V = TypeVar("_V")
_KEPT: Final = 400_000
_MOST_LINKS: Final = 1000


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
    holders: weak identifier that may attribute -> all profiles that have it, none if they are too many for it to do so.
    anonymous: identifier -> its anonymous profile. identified: people among those of `holders` who are.
    """

    version: GraphVersion
    after: GraphVersion
    owners: Mapping[Key, tuple[int, int]]
    persons: Mapping[int, int]
    absorbed: Mapping[int, int]
    links: Iterable[tuple[Key, int]]
    pairs: Iterable[tuple[Key, Key]]
    holders: Mapping[Key, Sequence[int]] = {}
    anonymous: Mapping[Key, int] = {}
    identified: Collection[int] = frozenset()

    @classmethod
    def of_links(cls, version: GraphVersion, links: Iterable[tuple[Key, int]]) -> Learned:
        """What is learned from links to profiles that exist."""
        return cls(version=version, after=version, owners={}, persons={}, absorbed={}, links=links, pairs=())


class KnownProfile(msgspec.Struct, gc=False, eq=False):
    """A profile, its person when that was looked at in the memory's `round`, and weak identifiers that it has."""

    id: int
    person: int
    round: int
    links: set[Key]


class Reliance:
    """What events without a strong identifier were placed by, to be looked at again before it counts.

    holders: weak identifier -> how many profiles had it. anonymous: identifiers, each with a person who must still be
    anonymous: whose profile it is, or who has it. apart: people who must not become one, nor identified. events: for
    each of the identifiers, the positions of the events that rely on it.
    """

    __slots__ = ("anonymous", "apart", "events", "holders")

    def __init__(self) -> None:
        self.holders: dict[Key, int] = {}
        self.anonymous: set[tuple[Key, int]] = set()
        self.apart: set[int] = set()
        self.events: dict[Key, list[int]] = {}

    def note(self, key: Key, position: int) -> None:
        """Notes that an event relies on what is known of an identifier."""
        self.events.setdefault(key, []).append(position)


def _give_away(missing: Sequence[Reading], reliance: Reliance) -> bool:
    """Whether it decides where other events go that somebody gets one of these, which nobody here relies on."""
    return any(
        reading.type is not None and reading.type.attributing and reading.key not in reliance.events
        for reading in missing
    )


class _Held(msgspec.Struct, frozen=True, gc=False):
    """Who has a weak identifier: the profile, if it is the only one; how many there are, 0 if too many for it to
    attribute; and, if several, of each person the one made first, as of the memory's `round`.
    """

    profile: KnownProfile | None
    count: int
    holders: tuple[Holder, ...]
    round: int


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
                self.put(key, found)
        return found

    def put(self, key: _K, entry: _V) -> None:
        self._young[key] = entry
        if len(self._young) >= self._half:
            self._young, self._old = {}, self._young

    def clear(self) -> None:
        self._young, self._old = {}, {}


class GraphMemory:
    """To be told of an outcome only once that is committed. Keeps up to `limit` entries of each kind.

    expected: what the next batch of events is going to change, for all that is known.
    """

    def __init__(self, limit: int = _KEPT) -> None:
        self.expected = Expected.NOTHING
        self._version: GraphVersion | None = None
        # Strong identifier -> the profile at which it arrived, and a number for the sighting in which it did.
        self._owners: _Kept[Key, tuple[KnownProfile, int]] = _Kept(limit)
        self._profiles: _Kept[int, KnownProfile] = _Kept(limit)
        self._pairs: _Kept[tuple[Key, Key], bool] = _Kept(limit)
        self._holders: _Kept[Key, _Held] = _Kept(limit)
        self._anonymous: _Kept[Key, KnownProfile] = _Kept(limit)
        self._absorbed: dict[int, int] = {}
        self._limit = limit
        self._round = 0
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
        self._owners.clear()
        self._profiles.clear()
        self._pairs.clear()
        self._holders.clear()
        self._version = version
        return True

    def place(
        self, readings: Sequence[Reading], missing: list[Reading], reliance: Reliance, position: int
    ) -> KnownProfile | None:
        """The profile to which a sighting of these goes, if it is sure that nothing happens but that the profile gets
        weak identifiers, which are added to `missing`. If that depends on who has weak ones, it is sure only if what
        is noted in `reliance`, under the sighting's `position`, is still so.
        """
        profile: KnownProfile | None = None
        arrival, together = 0, True
        for reading in readings:
            if reading.proves:
                owner = self._owners.get(reading.key)
                if owner is None:
                    return None
                if profile is None:
                    profile, arrival = owner
                elif owner[0] is not profile or owner[1] != arrival:
                    together = False
        shows_nothing_strong = profile is None
        if shows_nothing_strong:
            profile = self._attributed(readings, reliance, position)
        elif not together:
            profile = self._placed_by_several(readings)
        if profile is None or profile.round != self._round:
            return None
        links = profile.links
        for reading in readings:
            if not reading.proves and reading.key not in links:
                if reading.flaw is not None:
                    return None
                missing.append(reading)
        # To rely on one and give away another needs locks: somebody may be doing it the other way round.
        return None if shows_nothing_strong and _give_away(missing, reliance) else profile

    def person(self, profile: KnownProfile) -> int:
        """The person whom a profile that `place` gave belongs to."""
        return self._now(profile.person)

    def are_one_person(self, keys: Iterable[Key]) -> bool:
        """True if all of the strong identifiers are known to match, and to be one person's."""
        people = set()
        for key in keys:
            owner = self._owners.get(key)
            if owner is None or owner[0].round != self._round:
                return False
            people.add(self.person(owner[0]))
        return len(people) < 2

    def new_hints(self, plan: Plan) -> list[NewLink]:
        """The plan's hints that may not be stored yet."""
        return [link for (key, profile), link in plan.hints.items() if not self._has_link(key, profile)]

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
        profiles: dict[int, KnownProfile] = {}
        for number, person in learned.persons.items():
            profile = profiles[number] = self._profile(number)
            profile.person, profile.round = person, self._round
        made, least = self._arrivals, 0
        for key, (number, arrival) in learned.owners.items():
            least = min(least, arrival)
            self._owners.put(key, (profiles[number], arrival if arrival >= 0 else arrival - made))
        self._arrivals = made - least
        for key, number in learned.links:
            links = (profiles.get(number) or self._profile(number)).links
            if len(links) >= _MOST_LINKS:
                links.clear()
            links.add(key)
        for pair in learned.pairs:
            self._pairs.put(pair, True)
        self._remember_holders(learned, profiles)
        for key, number in learned.anonymous.items():
            self._anonymous.put(key, profiles[number])

    def _remember_holders(self, learned: Learned, profiles: Mapping[int, KnownProfile]) -> None:
        for key, holders in learned.holders.items():
            only = profiles[holders[0]] if len(holders) == 1 else None
            of_people: dict[int, Holder] = {}
            for number in sorted(holders) if only is None else ():
                person = learned.persons[number]
                of_people.setdefault(person, Holder(number, person, person in learned.identified))
            self._holders.put(key, _Held(only, len(holders), tuple(of_people.values()), self._round))

    def _attributed(self, readings: Sequence[Reading], reliance: Reliance, position: int) -> KnownProfile | None:
        """Where an event goes that shows nothing strong."""
        attributing = [reading for reading in readings if reading.attributes]
        if len(attributing) == 1:
            # Nearly always: one browser, of one profile.
            key = attributing[0].key
            held = self._holders.get(key)
            if held is None:
                return None
            if held.count == 1:
                reliance.holders[key] = 1
                reliance.note(key, position)
                return held.profile
        ordered = ranked({reading.key: reading for reading in readings})
        if not ordered:
            return None
        try:
            owner = attributed(ordered, lambda reading: self._owner(reading, reliance, position))
        except KeyError:
            return None
        if owner is not None:
            return self._profiles.get(owner.profile)
        first = ordered[0].key
        anonymous = self._anonymous.get(first)
        if anonymous is not None:
            person = self.person(anonymous)
            reliance.anonymous.add((first, person))
            reliance.note(first, position)
            reliance.apart.add(person)
        return anonymous

    def _owner(self, reading: Reading, reliance: Reliance, position: int) -> Holder | None:
        """Who owns a weak identifier. Raises KeyError if that is not known."""
        key, kind = reading.key, reading.type
        held = self._holders.get(key)
        if held is None or kind is None or (held.count > 1 and held.round != self._round):
            raise KeyError(key)
        reliance.note(key, position)
        if held.profile is not None:
            holders = [Holder(held.profile.id, self.person(held.profile), False)]
        else:
            # Only identified people become one without a new version.
            holders = [
                Holder(h.profile, self._now(h.person), h.identified or h.person in self._absorbed) for h in held.holders
            ]
        answer = ownership(holders, identified_first=kind.identified_first)
        if answer.more_matter:
            reliance.holders[key] = held.count
        reliance.anonymous.update((key, person) for person in answer.anonymous)
        reliance.apart |= answer.anonymous
        if answer.owner is None:
            reliance.apart.update(holder.person for holder in holders)
        return answer.owner

    def _now(self, person: int) -> int:
        """The person whom one is part of after the merges since."""
        absorbed = self._absorbed
        while person in absorbed:
            person = absorbed[person]
        return person

    def _placed_by_several(self, readings: Sequence[Reading]) -> KnownProfile | None:
        strong = ranked({reading.key: reading for reading in readings if reading.proves})
        owners = []
        for reading in strong:
            owner = self._owners.get(reading.key)
            if owner is None or owner[0].round != self._round:
                return None
            owners.append(owner)
        profile = owners[0][0]
        person = self.person(profile)
        for position, owner in enumerate(owners):
            if self.person(owner[0]) != person:
                return None
            one = strong[position].key
            for second in range(position + 1, len(owners)):
                # What arrived at one profile in one sighting is known to have been seen together.
                if owner[1] != owners[second][1] or owner[0].id != owners[second][0].id:
                    other = strong[second].key
                    if self._pairs.get((one, other) if one < other else (other, one)) is None:
                        return None
        return profile

    def _profile(self, number: int) -> KnownProfile:
        known = self._profiles.get(number)
        if known is None:
            known = KnownProfile(id=number, person=0, round=-1, links=set())
            self._profiles.put(number, known)
        return known

    def _has_link(self, key: Key, profile: int) -> bool:
        known = self._profiles.get(profile)
        return known is not None and key in known.links

    def _forget_people(self) -> None:
        self._round += 1
        self._absorbed.clear()
        # While its person was identified, another profile took its place; after an undo nothing else would tell.
        self._anonymous.clear()
