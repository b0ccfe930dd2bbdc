"""What requests and people do to the identity graph, in sets and lists: contacts, merging and separating by hand,
taking back, erasing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from tests.identity.property.graph_model import Contact, Edge, GraphModel, Key, Limits, Merge, Person, Profile

__all__ = ["Limits", "Merge", "Model", "Profile"]


class Model(GraphModel):
    """Everything that is stored.

    requested: identifiers that a contact request showed first.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.requested: set[Key] = set()

    # -- contacts

    def contacts(self, person: Person) -> list[Contact]:
        """The person's rows, the oldest first."""
        return sorted((row for profile in person for row in profile.contacts), key=lambda row: row.number)

    def listed(self, person: Person, kind: str) -> set[str]:
        """The values of a type that the person's contact lists: those of rows, and those that events showed."""
        known = {key for profile in person for key in profile.strong if key not in self.requested}
        of_rows = {(kind, getattr(row, kind)) for row in self.contacts(person)}
        return {value for of_kind, value in known | of_rows if of_kind == kind and value is not None}

    def identify(self, email: str | None, phone: str | None, at: int) -> tuple[Person, list[Contact]]:
        """A contact request: the person whom it finds or makes, and that person's rows after it."""
        shown = [(kind, value) for kind, value in (("email", email), ("phone", phone)) if value is not None]
        unknown = [key for key in shown if self.owner(key) is None]
        target, merge = self.see(None, shown, [], at)
        self.requested.difference_update(unknown)
        self.requested.update(key for key in unknown if self.owner(key) is not None)
        person = self.person(target)
        rows = self.contacts(person)
        # Only what is theirs takes part, unless the request has nothing of that kind.
        theirs = dict([key for key in shown if key not in self.shared and self.owner(key) in person] or shown[:1])
        email, phone = theirs.get("email"), theirs.get("phone")
        new = (email is not None and email not in {row.email for row in rows}) or (
            phone is not None and phone not in {row.phone for row in rows}
        )
        if new or not rows:
            made_by = None if merge is None else merge.number
            target.contacts.append(Contact(next(self._numbers), email, phone, made_by))
        return person, self.contacts(person)

    def _split_contacts(self, members: Iterable[Profile]) -> None:
        """The rows of those who were one person keep what is theirs; a row of which nothing is theirs goes to whose it
        is. A value that none of them has stays where it is.
        """
        known = list(members)
        for profile in known:
            for row in list(profile.contacts):
                values = {"email": row.email, "phone": row.phone}
                owners = {
                    kind: owner if (owner := self.owner((kind, value))) in known and owner is not None else profile
                    for kind, value in values.items()
                    if value is not None
                }
                place = profile
                if owners and all(owner not in self.person(profile) for owner in owners.values()):
                    place = next(iter(owners.values()))
                for kind, owner in owners.items():
                    if owner not in self.person(place):
                        setattr(row, kind, None)
                if place is not profile:
                    profile.contacts.remove(row)
                    place.contacts.append(row)

    # -- by hand

    def merge_by_hand(self, first: Profile, second: Profile) -> Merge | str | None:
        """The merge, None if they are one already, "apart" if somebody said that they are not."""
        a, b = self.person(first), self.person(second)
        if a == b:
            return None
        if self._are_apart(a, b):
            return "apart"
        older = first if self.oldest(a | b) in a else second
        return self._merge([Edge(older, second if older is first else first)])

    def detach(self, key: Key, at: int) -> None:
        """Takes an identifier from whoever has it."""
        owner = self.owner(key)
        assert owner is not None
        members = self.person(owner)
        (profile,) = self._move(owner, [[key]], at)
        self.apart.append((owner, profile))
        self._split_contacts([*members, profile])

    def attach(self, profile: Profile, key: Key) -> Merge | str | None:
        """Gives it to somebody, whom nothing keeps apart from its owner any more."""
        owner = self.owner(key)
        assert owner is not None
        both = {self.person(profile), self.person(owner)}
        self.apart = [pair for pair in self.apart if {self.person(one) for one in pair} != both]
        return self.merge_by_hand(profile, owner)

    def _move(self, owner: Profile, groups: list[list[Key]], at: int) -> list[Profile]:
        """Gives each group of an owner's identifiers a profile of its own."""
        made = []
        for group in groups:
            profile = self._create(at)
            owner.strong.difference_update(group)
            profile.strong.update(group)
            made.append(profile)
        return made

    # -- taking back

    def undo(self, merge: Merge) -> None:
        """Takes a merge back, and keeps its people apart."""
        members = self.person(merge.edges[0].a)
        sides = list(dict.fromkeys(profile for edge in merge.edges for profile in (edge.a, edge.b)))
        self._take_back([merge], members)
        self.apart.extend(itertools.combinations(sides, 2))

    def undo_shared(self, key: Key, at: int) -> set[Person]:
        """Takes back all that an identifier joined, which matches nobody from now on: the people who were one.

        At its profile everything stays together that was ever seen together, besides with it; the oldest stays there.
        """
        owner = self.owner(key)
        assert owner is not None
        merges = self.joined_through(key)
        members = self.person(owner).union(*(self.person(edge.a) for merge in merges for edge in merge.edges))
        self.shared.add(key)
        others = sorted(owner.strong - {key}, key=lambda one: self.arrived[one])
        groups: list[list[Key]] = []
        for one in others:
            near = [group for group in groups if self.together.get(one, set()) & set(group)]
            joined = [*itertools.chain.from_iterable(near), one]
            groups = [group for group in groups if group not in near] + [joined]
        groups.sort(key=lambda group: min(self.arrived[one] for one in group))
        made = self._move(owner, groups[1:], at)
        self._take_back(merges, [*members, *made])
        return {self.person(profile) for profile in (*members, *made)}

    def _take_back(self, merges: list[Merge], members: Iterable[Profile]) -> None:
        for merge in merges:
            merge.in_force = False
        numbers = {merge.number for merge in merges}
        for profile in self.profiles:
            profile.contacts = [row for row in profile.contacts if row.made_by not in numbers]
        self._split_contacts(members)

    # -- erasing

    def erase(self, person: Person) -> tuple[set[Key], set[str]]:
        """Forgets a person: the identifiers that went, and the events of others that showed one.

        The person's own events show nothing any more; those of others lose these values, and nothing else.
        """
        gone = {key for profile in person for key in profile.strong}
        return gone, self._forget(gone, person)

    def nobodys(self) -> list[Key]:
        """Identifiers that events show and nobody has."""
        return sorted({key for keys in self.shown.values() for key in keys if self.owner(key) is None})

    def erase_value(self, key: Key) -> tuple[set[Key], set[str]]:
        """Forgets an identifier that nobody has: it went, and the events that showed it."""
        return {key}, self._forget({key}, frozenset())

    def _forget(self, gone: set[Key], person: Person) -> set[str]:
        own = {event for profile in person for event in profile.events}
        of_others = {event for event, keys in self.shown.items() if keys & gone and event not in own}
        self.shown = {event: keys - gone for event, keys in self.shown.items() if event not in own}
        self.requested -= gone
        self.shared -= gone
        self.together = {key: others - gone for key, others in self.together.items() if key not in gone}
        self.brought_by = {a: b for a, b in self.brought_by.items() if a not in gone and b not in gone}
        self.set_aside = {one for one in self.set_aside if one[1] not in gone and one[2] not in person}
        self.anonymous = {
            key: profile for key, profile in self.anonymous.items() if key not in gone and profile not in person
        }
        self.profiles = [profile for profile in self.profiles if profile not in person]
        for row in itertools.chain.from_iterable(profile.contacts for profile in self.profiles):
            row.email = None if ("email", row.email) in gone else row.email
            row.phone = None if ("phone", row.phone) in gone else row.phone
        self.apart = [pair for pair in self.apart if person.isdisjoint(pair)]
        for merge in self.merges:
            merge.edges = [edge for edge in merge.edges if person.isdisjoint((edge.a, edge.b))]
        self.merges = [merge for merge in self.merges if merge.edges]
        return of_others
