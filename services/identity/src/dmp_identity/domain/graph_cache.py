"""What a process keeps of the stored graph, so that observations which change nothing need not be looked up.

Everything in the cache is true of one version of the graph. Merging, undoing, sharing and erasing make a new version.
Additions keep the version. They can only make one kind of entry wrong: who owns a weak identifier. Whoever uses such an
entry checks it again in the database, which costs less than a look-up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

import msgspec

from dmp_identity.domain.attribution import Candidate, attributed, ownership
from dmp_identity.domain.parsed_identifier import Key, Observation, ParsedIdentifier, ranked
from dmp_identity.domain.plan import NewLink, Plan
from dmp_identity.domain.snapshot import GraphVersion

_K = TypeVar("_K")
_V = TypeVar("_V")
_KEPT: Final = 400_000
_MOST_LINKS: Final = 1000


class Expected(Enum):
    """What observations are expected to change, by the last ones of their kind: those that change come in waves."""

    NOTHING = 0
    IDENTIFIERS = 1
    PEOPLE = 2


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction found or stored, under the ids that are stored.

    version: the version of the graph on which the transaction decided.
    after: the version that it made, the same if it made none.
    owners: strong identifier that matches -> the profile at which it arrived, and a number for the observation in which
    it did, negative if that is one of this transaction.
    persons: profile -> person.
    absorbed: person -> the person it is part of since.
    links: weak identifiers that profiles have.
    pairs: strong identifiers that were seen together.
    profiles_with: weak identifier that may attribute -> all profiles that have it; none if they are too many for it to
    attribute.
    anonymous: identifier -> its anonymous profile.
    identified: people with a profile in `profiles_with` who have a strong identifier.
    """

    version: GraphVersion
    after: GraphVersion
    owners: Mapping[Key, tuple[int, int]]
    persons: Mapping[int, int]
    absorbed: Mapping[int, int]
    links: Iterable[tuple[Key, int]]
    pairs: Iterable[tuple[Key, Key]]
    profiles_with: Mapping[Key, Sequence[int]] = {}
    anonymous: Mapping[Key, int] = {}
    identified: Collection[int] = frozenset()

    @classmethod
    def of_links(cls, version: GraphVersion, links: Iterable[tuple[Key, int]]) -> Learned:
        """What is learned from links to profiles that exist."""
        return cls(version=version, after=version, owners={}, persons={}, absorbed={}, links=links, pairs=())


class KnownProfile(msgspec.Struct, gc=False, eq=False):
    """A profile that the cache knows.

    person: the person it belongs to, as it was in the cache's `epoch`.
    epoch: see there.
    links: weak identifiers that it has; maybe not all.
    """

    id: int
    person: int
    epoch: int
    links: set[Key]


class Assumptions:
    """What was assumed when events without a strong identifier were attributed; it is checked before it counts.

    profiles_with: weak identifier -> how many profiles have it.
    anonymous: identifiers, each with a person who is still anonymous: the owner of its profile, or one who has it.
    apart: people who do not become one, nor identified.
    events: for each of the identifiers, the positions of the events that depend on it.
    """

    __slots__ = ("anonymous", "apart", "events", "profiles_with")

    def __init__(self) -> None:
        self.profiles_with: dict[Key, int] = {}
        self.anonymous: set[tuple[Key, int]] = set()
        self.apart: set[int] = set()
        self.events: dict[Key, list[int]] = {}

    def note(self, key: Key, position: int) -> None:
        """Notes that an event depends on what is known of an identifier."""
        self.events.setdefault(key, []).append(position)


def _give_away(missing: Sequence[ParsedIdentifier], assumptions: Assumptions) -> bool:
    """Whether the owner of a weak identifier may change by adding one of these, on which no event here depends."""
    return any(
        parsed.type is not None and parsed.type.attributing and parsed.key not in assumptions.events
        for parsed in missing
    )


class _Held(msgspec.Struct, frozen=True, gc=False):
    """Who has a weak identifier.

    profile: the only profile that has it, None if there are several.
    count: how many profiles have it, 0 if they are too many for it to attribute.
    candidates: if several have it, of each person the profile made first, as it was in the cache's `epoch`.
    epoch: see there.
    """

    profile: KnownProfile | None
    count: int
    candidates: tuple[Candidate, ...]
    epoch: int


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


class GraphCache:
    """The cache. It is told of an outcome only once that is committed, and keeps up to `limit` entries of each kind.

    expected: which locks the next batch of events is likely to need.
    """

    def __init__(self, limit: int = _KEPT) -> None:
        self.expected = Expected.NOTHING
        self._version: GraphVersion | None = None
        # Strong identifier -> the profile at which it arrived, and a number for the observation in which it did.
        self._owners: _Kept[Key, tuple[KnownProfile, int]] = _Kept(limit)
        self._profiles: _Kept[int, KnownProfile] = _Kept(limit)
        self._pairs: _Kept[tuple[Key, Key], bool] = _Kept(limit)
        self._profiles_with: _Kept[Key, _Held] = _Kept(limit)
        self._anonymous: _Kept[Key, KnownProfile] = _Kept(limit)
        self._absorbed: dict[int, int] = {}
        self._limit = limit
        self._epoch = 0
        self._arrivals = 0

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
                self._version = version
                return True
        self._forget_people()
        self._owners.clear()
        self._profiles.clear()
        self._pairs.clear()
        self._profiles_with.clear()
        self._version = version
        return True

    def place(
        self,
        identifiers: Sequence[ParsedIdentifier],
        missing: list[ParsedIdentifier],
        assumptions: Assumptions,
        position: int,
    ) -> KnownProfile | None:
        """The profile to which an observation of these goes, if nothing happens but that the profile gets weak
        identifiers, which are added to `missing`. What the answer assumes about the owners of weak identifiers is
        noted in `assumptions`, under the observation's `position`. None if the cache cannot tell.
        """
        profile: KnownProfile | None = None
        arrival, together = 0, True
        for parsed in identifiers:
            if parsed.proves:
                owner = self._owners.get(parsed.key)
                if owner is None:
                    return None
                if profile is None:
                    profile, arrival = owner
                elif owner[0] is not profile or owner[1] != arrival:
                    together = False
        shows_nothing_strong = profile is None
        if shows_nothing_strong:
            profile = self._attributed(identifiers, assumptions, position)
        elif not together:
            profile = self._placed_by_several(identifiers)
        if profile is None or profile.epoch != self._epoch:
            return None
        links = profile.links
        for parsed in identifiers:
            if not parsed.proves and parsed.key not in links:
                if parsed.refusal_reason is not None:
                    return None
                missing.append(parsed)
        # An event that depends on browser A and adds browser B needs locks: another transaction may do the reverse.
        return None if shows_nothing_strong and _give_away(missing, assumptions) else profile

    def person(self, profile: KnownProfile) -> int:
        """The person whom a profile that `place` gave belongs to."""
        return self._now(profile.person)

    def are_one_person(self, keys: Iterable[Key]) -> bool:
        """True if all of the strong identifiers are known to match, and to be one person's."""
        people = set()
        for key in keys:
            owner = self._owners.get(key)
            if owner is None or owner[0].epoch != self._epoch:
                return False
            people.add(self.person(owner[0]))
        return len(people) < 2

    def links_to_store(self, plan: Plan) -> list[NewLink]:
        """The plan's unchecked links that may not be stored yet."""
        return [link for (key, profile), link in plan.unchecked_links.items() if not self._has_link(key, profile)]

    def new_pairs(self, plan: Plan) -> dict[tuple[Key, Key], Observation]:
        """The plan's pairs that may not be stored yet."""
        return {pair: observation for pair, observation in plan.pairs.items() if self._pairs.get(pair) is None}

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
            profile.person, profile.epoch = person, self._epoch
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
        self._remember_profiles_with(learned, profiles)
        for key, number in learned.anonymous.items():
            self._anonymous.put(key, profiles[number])

    def _remember_profiles_with(self, learned: Learned, profiles: Mapping[int, KnownProfile]) -> None:
        for key, profiles_with in learned.profiles_with.items():
            only = profiles[profiles_with[0]] if len(profiles_with) == 1 else None
            of_people: dict[int, Candidate] = {}
            for number in sorted(profiles_with) if only is None else ():
                person = learned.persons[number]
                of_people.setdefault(person, Candidate(number, person, person in learned.identified))
            self._profiles_with.put(key, _Held(only, len(profiles_with), tuple(of_people.values()), self._epoch))

    def _attributed(
        self, identifiers: Sequence[ParsedIdentifier], assumptions: Assumptions, position: int
    ) -> KnownProfile | None:
        """Where an event goes that shows nothing strong."""
        attributing = [parsed for parsed in identifiers if parsed.attributes]
        if len(attributing) == 1:
            # Nearly always: one browser, of one profile.
            key = attributing[0].key
            held = self._profiles_with.get(key)
            if held is None:
                return None
            if held.count == 1:
                assumptions.profiles_with[key] = 1
                assumptions.note(key, position)
                return held.profile
        ordered = ranked({parsed.key: parsed for parsed in identifiers})
        if not ordered:
            return None
        try:
            owner = attributed(ordered, lambda parsed: self._owner(parsed, assumptions, position))
        except KeyError:
            return None
        if owner is not None:
            return self._profiles.get(owner.profile)
        first = ordered[0].key
        anonymous = self._anonymous.get(first)
        if anonymous is not None:
            person = self.person(anonymous)
            assumptions.anonymous.add((first, person))
            assumptions.note(first, position)
            assumptions.apart.add(person)
        return anonymous

    def _owner(self, parsed: ParsedIdentifier, assumptions: Assumptions, position: int) -> Candidate | None:
        """Who owns a weak identifier. Raises KeyError if that is not known."""
        key, kind = parsed.key, parsed.type
        held = self._profiles_with.get(key)
        if held is None or kind is None or (held.count > 1 and held.epoch != self._epoch):
            raise KeyError(key)
        assumptions.note(key, position)
        if held.profile is not None:
            profiles_with = [Candidate(held.profile.id, self.person(held.profile), False)]
        else:
            # Only identified people become one without a new version.
            profiles_with = [
                Candidate(h.profile, self._now(h.person), h.identified or h.person in self._absorbed)
                for h in held.candidates
            ]
        answer = ownership(profiles_with, identified_first=kind.identified_first)
        if answer.more_matter:
            assumptions.profiles_with[key] = held.count
        assumptions.anonymous.update((key, person) for person in answer.anonymous)
        assumptions.apart |= answer.anonymous
        if answer.owner is None:
            assumptions.apart.update(candidate.person for candidate in profiles_with)
        return answer.owner

    def _now(self, person: int) -> int:
        """The person whom one is part of after the merges since."""
        absorbed = self._absorbed
        while person in absorbed:
            person = absorbed[person]
        return person

    def _placed_by_several(self, identifiers: Sequence[ParsedIdentifier]) -> KnownProfile | None:
        strong = ranked({parsed.key: parsed for parsed in identifiers if parsed.proves})
        owners = []
        for parsed in strong:
            owner = self._owners.get(parsed.key)
            if owner is None or owner[0].epoch != self._epoch:
                return None
            owners.append(owner)
        profile = owners[0][0]
        person = self.person(profile)
        for position, owner in enumerate(owners):
            if self.person(owner[0]) != person:
                return None
            one = strong[position].key
            for second in range(position + 1, len(owners)):
                # What arrived at one profile in one observation is known to have been seen together.
                if owner[1] != owners[second][1] or owner[0].id != owners[second][0].id:
                    other = strong[second].key
                    if self._pairs.get((one, other) if one < other else (other, one)) is None:
                        return None
        return profile

    def _profile(self, number: int) -> KnownProfile:
        known = self._profiles.get(number)
        if known is None:
            known = KnownProfile(id=number, person=0, epoch=-1, links=set())
            self._profiles.put(number, known)
        return known

    def _has_link(self, key: Key, profile: int) -> bool:
        known = self._profiles.get(profile)
        return known is not None and key in known.links

    def _forget_people(self) -> None:
        self._epoch += 1
        self._absorbed.clear()
        # While its person was identified, another profile took its place; after an undo nothing else would tell.
        self._anonymous.clear()
