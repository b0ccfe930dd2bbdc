"""The identity graph as a few sets and lists, with every rule written down in the plainest way."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

Key = tuple[str, str]


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


@dataclass(eq=False)
class Merge:
    """An act of merging."""

    number: int
    edges: list[tuple[Profile, Profile]]
    in_force: bool = True


Person = frozenset[Profile]
RANK = {"user_id": 0, "email": 1, "phone": 2, "wallet_address": 3}


class Model:
    """Everything that is stored."""

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self.merges: list[Merge] = []
        self.apart: list[tuple[Profile, Profile]] = []
        self.anonymous: dict[Key, Profile] = {}
        self.requested: set[Key] = set()
        """Identifiers that a contact request showed first."""
        self._numbers = itertools.count(1)

    # -- looking

    def person(self, profile: Profile) -> Person:
        """Everybody whom merges in force connect with the profile."""
        found, waiting = {profile}, [profile]
        while waiting:
            one = waiting.pop()
            for merge in self.merges:
                for a, b in merge.edges if merge.in_force else ():
                    for here, there in ((a, b), (b, a)):
                        if here is one and there not in found:
                            found.add(there)
                            waiting.append(there)
        return frozenset(found)

    def people(self) -> set[Person]:
        """All people."""
        return {self.person(profile) for profile in self.profiles}

    def oldest(self, person: Person) -> Profile:
        """The profile that answers for the person."""
        return min(person, key=lambda profile: (profile.created_at, profile.number))

    def owner(self, key: Key) -> Profile | None:
        """Where a strong identifier arrived."""
        return next((profile for profile in self.profiles if key in profile.strong), None)

    def contacts(self, person: Person) -> list[Contact]:
        """The person's rows, the oldest first."""
        return sorted((row for profile in person for row in profile.contacts), key=lambda row: row.number)

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

    # -- changing

    def see(self, ref: str | None, strong: list[Key], weak: list[Key], at: int) -> tuple[Profile, Merge | None]:
        """An event or a request: where it goes, and what it merged."""
        target, merge = self._place(sorted(strong, key=lambda key: RANK[key[0]]), weak, at)
        if ref is not None:
            target.events.add(ref)
        return target, merge

    def _place(self, strong: list[Key], weak: list[Key], at: int) -> tuple[Profile, Merge | None]:
        known: dict[Person, Profile] = {}
        for key in strong:
            owner = self.owner(key)
            if owner is not None:
                known.setdefault(self.person(owner), owner)
        merge = None
        if known:
            target = next(owner for key in strong if (owner := self.owner(key)) is not None)
            people = sorted(known, key=lambda p: (self.oldest(p).created_at, self.oldest(p).number))
            if not any(self._are_apart(a, b) for a, b in itertools.combinations(people, 2)) and len(people) > 1:
                merge = self._merge([(known[people[0]], known[other]) for other in people[1:]])
        elif strong:
            holder = next((self._only_holder(key) for key in weak if key[0] == "browser_id"), None)
            if holder is not None and self._identified(self.person(holder)):
                holder = None
            target = holder or self._create(at)
        else:
            browser = next((key for key in weak if key[0] == "browser_id"), None)
            holder = None if browser is None else self._only_holder(browser)
            target = holder or self._anonymous(browser or weak[0], at)
        target.strong.update(key for key in strong if self.owner(key) is None)
        target.weak.update(weak)
        return target, merge

    def _create(self, at: int) -> Profile:
        profile = Profile(next(self._numbers), at)
        self.profiles.append(profile)
        return profile

    def _anonymous(self, key: Key, at: int) -> Profile:
        profile = self.anonymous.get(key)
        if profile is None or profile not in self.profiles or self._identified(self.person(profile)):
            profile = self.anonymous[key] = self._create(at)
        return profile

    def _merge(self, edges: list[tuple[Profile, Profile]]) -> Merge:
        merge = Merge(next(self._numbers), edges)
        self.merges.append(merge)
        return merge

    def _are_apart(self, first: Person, second: Person) -> bool:
        return any({self.person(a), self.person(b)} == {first, second} for a, b in self.apart)

    def identify(self, email: str | None, phone: str | None, at: int) -> list[Contact]:
        """A contact request; the person's rows after it."""
        strong = [key for key in (("email", email), ("phone", phone)) if key[1] is not None]
        shown = [(kind, value) for kind, value in strong if value is not None]
        unknown = [key for key in shown if self.owner(key) is None]
        target, merge = self.see(None, shown, [], at)
        self.requested.difference_update(unknown)
        self.requested.update(key for key in unknown if self.owner(key) is not None)
        person = self.person(target)
        rows = self.contacts(person)

        def is_theirs(kind: str, value: str | None) -> bool:
            return value is not None and self.owner((kind, value)) in person

        email = email if is_theirs("email", email) else None
        phone = phone if is_theirs("phone", phone) else None
        new = (email is not None and email not in {row.email for row in rows}) or (
            phone is not None and phone not in {row.phone for row in rows}
        )
        if new or not rows:
            made_by = None if merge is None else merge.number
            target.contacts.append(Contact(next(self._numbers), email, phone, made_by))
        return self.contacts(person)

    def merge_by_hand(self, first: Profile, second: Profile) -> Merge | str | None:
        """The merge, None if they are one already, "apart" if somebody said that they are not."""
        a, b = self.person(first), self.person(second)
        if a == b:
            return None
        if self._are_apart(a, b):
            return "apart"
        older = first if self.oldest(a | b) in a else second
        return self._merge([(older, second if older is first else first)])

    def detach(self, key: Key, at: int) -> None:
        """Takes an identifier from whoever has it."""
        owner = self.owner(key)
        assert owner is not None
        owner.strong.remove(key)
        profile = self._create(at)
        profile.strong.add(key)
        self.apart.append((owner, profile))
        self._split_contacts()

    def attach(self, profile: Profile, key: Key) -> Merge | str | None:
        """Gives it to somebody, whom nothing keeps apart from its owner any more."""
        owner = self.owner(key)
        assert owner is not None
        both = {self.person(profile), self.person(owner)}
        self.apart = [pair for pair in self.apart if {self.person(one) for one in pair} != both]
        return self.merge_by_hand(profile, owner)

    def undo(self, merge: Merge) -> None:
        """Takes a merge back."""
        merge.in_force = False
        sides = list(dict.fromkeys(profile for edge in merge.edges for profile in edge))
        self.apart.extend(itertools.combinations(sides, 2))
        for profile in self.profiles:
            profile.contacts = [row for row in profile.contacts if row.made_by != merge.number]
        self._split_contacts()

    def _split_contacts(self) -> None:
        """Everybody's rows keep what is theirs; a row of which nothing is theirs goes to whose it is."""
        for profile in self.profiles:
            for row in list(profile.contacts):
                values = {"email": row.email, "phone": row.phone}
                owners = {
                    kind: self.owner((kind, value)) or profile for kind, value in values.items() if value is not None
                }
                place = profile
                if all(owner not in self.person(profile) for owner in owners.values()):
                    place = next(iter(owners.values()))
                for kind, owner in owners.items():
                    if owner not in self.person(place):
                        setattr(row, kind, None)
                if place is not profile:
                    profile.contacts.remove(row)
                    place.contacts.append(row)

    def listed(self, person: Person, kind: str) -> set[str]:
        """The values of a type that the person's contact lists: those of rows, and those that events showed."""
        known = {key for profile in person for key in profile.strong if key not in self.requested}
        of_rows = {(kind, getattr(row, kind)) for row in self.contacts(person)}
        return {value for of_kind, value in known | of_rows if of_kind == kind and value is not None}

    def erase(self, person: Person) -> None:
        """Forgets a person."""
        self.requested.difference_update(key for profile in person for key in profile.strong)
        self.profiles = [profile for profile in self.profiles if profile not in person]
        self.apart = [pair for pair in self.apart if person.isdisjoint(pair)]
        for merge in self.merges:
            merge.edges = [edge for edge in merge.edges if person.isdisjoint(edge)]
        self.merges = [merge for merge in self.merges if merge.edges]
