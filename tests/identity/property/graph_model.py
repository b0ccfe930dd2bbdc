"""The identity graph as a few sets and lists: whom evidence makes one person, whom it does not, and what is set aside.

The rules are written down in the plainest way, as the documents say them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

Key = tuple[str, str]
RANK = {"user_id": 0, "email": 1, "phone": 2, "wallet_address": 3}


@dataclass(frozen=True)
class Limits:
    """What the policy allows; a type that is not named has no limit.

    per_person: values of one person. sharing: values of one type that may come with a value before it is a shared one.
    large: of two people with more identifiers than this, each, none is merged into the other without a word.
    """

    per_person: Mapping[str, int] = field(default_factory=dict)
    sharing: Mapping[str, int] = field(default_factory=dict)
    large: int = 1000


@dataclass(eq=False)
class Profile:
    """A profile: when it was made, and what arrived at it."""

    number: int
    created_at: int
    strong: set[Key] = field(default_factory=set)
    weak: set[Key] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    contacts: list[Contact] = field(default_factory=list)


@dataclass(eq=False)
class Contact:
    """A contact row."""

    number: int
    email: str | None
    phone: str | None
    made_by: int | None


@dataclass(frozen=True, eq=False)
class Edge:
    """Two profiles that a merge connects, and the identifiers that did it."""

    a: Profile
    b: Profile
    keys: tuple[Key, ...] = ()


@dataclass(eq=False)
class Merge:
    """An act of merging."""

    number: int
    edges: list[Edge]
    in_force: bool = True


Person = frozenset[Profile]


class GraphModel:
    """Profiles, who is one person, and what was seen.

    anonymous: whose an event is that shows this value and names nobody.
    together: what was ever seen together with a strong identifier, followed or not.
    shared: strong identifiers that match nobody any more.
    brought_by: what the person of a strong identifier was known by in the event that showed it first.
    shown: the strong identifiers of each event, those that were set aside, too.
    set_aside: rule, identifier and the profile of the event, of all that a limit or sharing kept from being followed.
    happened: how often each rule decided something.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.profiles: list[Profile] = []
        self.merges: list[Merge] = []
        self.apart: list[tuple[Profile, Profile]] = []
        self.anonymous: dict[Key, Profile] = {}
        self.together: dict[Key, set[Key]] = {}
        self.shared: set[Key] = set()
        self.brought_by: dict[Key, Key] = {}
        self.arrived: dict[Key, int] = {}
        self.shown: dict[str, set[Key]] = {}
        self.set_aside: set[tuple[str, Key, Profile]] = set()
        self.happened: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    # -- looking

    def person(self, profile: Profile) -> Person:
        """Everybody whom merges in force connect with the profile."""
        found, waiting = {profile}, [profile]
        while waiting:
            one = waiting.pop()
            for merge in self.merges:
                for edge in merge.edges if merge.in_force else ():
                    for here, there in ((edge.a, edge.b), (edge.b, edge.a)):
                        if here is one and there not in found:
                            found.add(there)
                            waiting.append(there)
        return frozenset(found)

    def people(self) -> set[Person]:
        """All people."""
        return {self.person(profile) for profile in self.profiles}

    def oldest(self, person: Person) -> Profile:
        """The profile that answers for the person."""
        return min(person, key=_age)

    def owner(self, key: Key) -> Profile | None:
        """Where a strong identifier is."""
        return next((profile for profile in self.profiles if key in profile.strong), None)

    def joined_through(self, key: Key) -> list[Merge]:
        """Merges in force that an identifier made."""
        return [merge for merge in self.merges if merge.in_force and any(key in edge.keys for edge in merge.edges)]

    def brought(self, key: Key) -> set[Key]:
        """What an identifier brought to its profile."""
        owner = self.owner(key)
        return set() if owner is None else {other for other in owner.strong if self.brought_by.get(other) == key}

    def _whose(self, key: Key) -> Person | None:
        owner = self.owner(key)
        return None if owner is None else self.person(owner)

    def _identified(self, person: Person) -> bool:
        return any(profile.strong for profile in person)

    def _only_holder(self, key: Key) -> Profile | None:
        holders = [profile for profile in self.profiles if key in profile.weak]
        people = {self.person(profile) for profile in holders}
        if len(people) > 1:
            people = {person for person in people if self._identified(person)}
        if len(people) != 1:
            return None
        (person,) = people
        return min((profile for profile in holders if profile in person), key=lambda profile: profile.number)

    def _count(self, person: Person, kind: str) -> int:
        return sum(key[0] == kind for profile in person for key in profile.strong)

    def _size(self, person: Person) -> int:
        return sum(len(profile.strong) for profile in person)

    # -- changing

    def see(self, ref: str | None, shown: list[Key], weak: list[Key], at: int) -> tuple[Profile, Merge | None]:
        """An event or a request: where it goes, and what it merged."""
        strong = sorted(shown, key=lambda key: RANK[key[0]])
        usable = [key for key in strong if key not in self.shared]
        crowded = self._crowded(usable)
        self.shared |= crowded
        self.happened["shared"] += len(crowded)
        usable = [key for key in usable if key not in crowded]
        for one, other in itertools.permutations(usable, 2):
            self.together.setdefault(one, set()).add(other)
        if any(self.owner(key) for key in usable):
            target, merge = self._join(usable)
        else:
            target, merge = self._begin_or_attribute(strong, usable, weak, at), None
        self._learn(usable, target)
        target.weak.update(weak)
        self.set_aside |= {("shared", key, target) for key in strong if key not in usable}
        if ref is not None:
            target.events.add(ref)
            self.shown[ref] = set(strong)
        return target, merge

    def _crowded(self, keys: list[Key]) -> set[Key]:
        """Known identifiers that would come with more values of one type than may be, if they were joined with what
        somebody else has or nobody.
        """
        crowded = set()
        for key in keys:
            limit, person = self.limits.sharing.get(key[0]), self._whose(key)
            for other in keys if limit is not None and person is not None else ():
                alike = {one for one in self.together.get(key, ()) if one[0] == other[0]}
                if self._whose(other) != person and other not in alike and limit is not None and len(alike) >= limit:
                    crowded.add(key)
        return crowded

    def _join(self, keys: list[Key]) -> tuple[Profile, Merge | None]:
        """The event of known people: it is the first one's by rank; all become one, unless something is against it."""
        first_by: dict[Person, Key] = {}
        for key in keys:
            person = self._whose(key)
            if person is not None:
                first_by.setdefault(person, key)
        target = self.owner(next(iter(first_by.values())))
        assert target is not None
        people = sorted(first_by, key=lambda person: _age(self.oldest(person)))
        if len(people) == 1 or self._objections(people):
            return target, None
        by_age = [first_by[person] for person in people]
        owners = [owner for key in by_age if (owner := self.owner(key)) is not None]
        self.happened["merged"] += 1
        return target, self._merge(
            [Edge(owners[0], owner, (by_age[0], key)) for owner, key in zip(owners[1:], by_age[1:], strict=True)]
        )

    def _objections(self, people: list[Person]) -> list[str]:
        """Why these may not be one person."""
        found = []
        if any(self._are_apart(a, b) for a, b in itertools.combinations(people, 2)):
            found.append("never merge")
        if sum(self._size(person) > self.limits.large for person in people) > 1:
            found.append("large")
        for kind, most in self.limits.per_person.items():
            counts = [self._count(person, kind) for person in people]
            # Who has too many already may still be joined with who has none.
            if sum(counts) > most and max(counts) < sum(counts):
                found.append("limit of a merge")
        self.happened.update(found)
        return found

    def _begin_or_attribute(self, strong: list[Key], usable: list[Key], weak: list[Key], at: int) -> Profile:
        browser = next((key for key in weak if key[0] == "browser_id"), None)
        holder = None if browser is None else self._only_holder(browser)
        if usable:
            return self._create(at) if holder is None or self._identified(self.person(holder)) else holder
        return holder or self._anonymous(browser or [*weak, *strong][0], at)

    def _learn(self, keys: list[Key], target: Profile) -> None:
        """What nobody has is the person's, as far as the limits allow."""
        known_by = next((key for key in keys if self.owner(key) is not None), None)
        for key in [key for key in keys if self.owner(key) is None]:
            most = self.limits.per_person.get(key[0])
            if most is not None and self._count(self.person(target), key[0]) >= most:
                self.set_aside.add(("limit", key, target))
                self.happened["limit"] += 1
                continue
            target.strong.add(key)
            self.arrived[key] = next(self._numbers)
            if known_by is not None:
                self.brought_by[key] = known_by

    def _create(self, at: int) -> Profile:
        profile = Profile(next(self._numbers), at)
        self.profiles.append(profile)
        return profile

    def _anonymous(self, key: Key, at: int) -> Profile:
        profile = self.anonymous.get(key)
        if profile is None or profile not in self.profiles or self._identified(self.person(profile)):
            profile = self.anonymous[key] = self._create(at)
        return profile

    def _merge(self, edges: list[Edge]) -> Merge:
        merge = Merge(next(self._numbers), edges)
        self.merges.append(merge)
        return merge

    def _are_apart(self, first: Person, second: Person) -> bool:
        return any({self.person(a), self.person(b)} == {first, second} for a, b in self.apart)


def _age(profile: Profile) -> tuple[int, int]:
    return (profile.created_at, profile.number)
