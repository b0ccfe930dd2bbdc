"""Attributes one event from the cache: to which profile does it go, if nothing changes but its weak identifiers?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from dmp_identity.domain.assumptions import Assumptions
from dmp_identity.domain.attribution import Candidate, attributed, ownership
from dmp_identity.domain.graph_cache import GraphCache, KnownProfile
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier, ranked

Attributed: TypeAlias = tuple[KnownProfile, Sequence[ParsedIdentifier]]
"""The profile of an event, and the weak identifiers that the profile gets by it."""


class EventAttributor:
    """Attributes events, one at a time, and notes what it assumed about the owners of weak identifiers."""

    __slots__ = ("_cache", "_owner_of", "assumptions")

    def __init__(self, cache: GraphCache) -> None:
        self._cache = cache
        self._owner_of = cache.owners.get
        self.assumptions = Assumptions()

    def attribute(self, identifiers: Sequence[ParsedIdentifier], position: int) -> Attributed | None:
        """Attributes one event by the cache.

        Returns the profile and the weak identifiers that the profile gets by the event. Returns None if the cache does
        not know enough, or if the event changes more than that; then the event has to be resolved against the database.
        What the answer assumes is added to `assumptions`, under the event's position in the batch.
        """
        profile: KnownProfile | None = None
        arrival, together = 0, True
        owner_of = self._owner_of
        for parsed in identifiers:
            if parsed.proves:
                owner = owner_of(parsed.key)
                if owner is None:
                    return None
                if profile is None:
                    profile, arrival = owner
                elif owner[0] is not profile or owner[1] != arrival:
                    together = False
        shows_nothing_strong = profile is None
        if shows_nothing_strong:
            profile = self._by_weak(identifiers, position)
        elif not together:
            profile = self._by_several(identifiers)
        if profile is None or profile.epoch != self._cache.epoch:
            return None
        missing = _missing(profile.links, identifiers)
        # An event that depends on browser A and adds browser B needs locks: another transaction may do the reverse.
        if missing is None or (missing and shows_nothing_strong and self._changes_owners(missing)):
            return None
        return profile, missing

    def _by_weak(self, identifiers: Sequence[ParsedIdentifier], position: int) -> KnownProfile | None:
        """Where an event goes that shows nothing strong."""
        attributing = [parsed for parsed in identifiers if parsed.attributes]
        if len(attributing) == 1:
            # Nearly always: one browser, of one profile.
            key = attributing[0].key
            held = self._cache.profiles_with.get(key)
            if held is None:
                return None
            if held.count == 1:
                self.assumptions.profiles_with[key] = 1
                self.assumptions.note(key, position)
                return held.profile
        ordered = ranked({parsed.key: parsed for parsed in identifiers})
        if not ordered:
            return None
        try:
            owner = attributed(ordered, lambda parsed: self._owner(parsed, position))
        except KeyError:
            return None
        if owner is not None:
            return self._cache.profiles.get(owner.profile)
        first = ordered[0].key
        anonymous = self._cache.anonymous.get(first)
        if anonymous is not None:
            person = self._cache.person(anonymous)
            self.assumptions.anonymous.add((first, person))
            self.assumptions.note(first, position)
            self.assumptions.apart.add(person)
        return anonymous

    def _owner(self, parsed: ParsedIdentifier, position: int) -> Candidate | None:
        """Who owns a weak identifier. Raises KeyError if that is not known."""
        key, kind = parsed.key, parsed.type
        held = self._cache.profiles_with.get(key)
        if held is None or kind is None or (held.count > 1 and held.epoch != self._cache.epoch):
            raise KeyError(key)
        self.assumptions.note(key, position)
        if held.profile is not None:
            profiles_with = [Candidate(held.profile.id, self._cache.person(held.profile), False)]
        else:
            # Only identified people become one without a new version.
            profiles_with = [
                Candidate(h.profile, self._cache.merges.now(h.person), h.identified or h.person in self._cache.merges)
                for h in held.candidates
            ]
        answer = ownership(profiles_with, identified_first=kind.identified_first)
        if answer.more_matter:
            self.assumptions.profiles_with[key] = held.count
        self.assumptions.anonymous.update((key, person) for person in answer.anonymous)
        self.assumptions.apart |= answer.anonymous
        if answer.owner is None:
            self.assumptions.apart.update(candidate.person for candidate in profiles_with)
        return answer.owner

    def _by_several(self, identifiers: Sequence[ParsedIdentifier]) -> KnownProfile | None:
        """Where an event goes whose strong identifiers arrived at different times: they must be one person's, and have
        been seen together, two by two.
        """
        strong = ranked({parsed.key: parsed for parsed in identifiers if parsed.proves})
        owners = []
        for parsed in strong:
            owner = self._cache.owners.get(parsed.key)
            if owner is None or owner[0].epoch != self._cache.epoch:
                return None
            owners.append(owner)
        profile = owners[0][0]
        person = self._cache.person(profile)
        for position, owner in enumerate(owners):
            if self._cache.person(owner[0]) != person:
                return None
            one = strong[position].key
            for second in range(position + 1, len(owners)):
                # What arrived at one profile in one observation is known to have been seen together.
                if owner[1] != owners[second][1] or owner[0].id != owners[second][0].id:
                    other = strong[second].key
                    if self._cache.pairs.get((one, other) if one < other else (other, one)) is None:
                        return None
        return profile

    def _changes_owners(self, missing: Sequence[ParsedIdentifier]) -> bool:
        """True if one of these weak identifiers gets one more profile although the event was attributed without it:
        then its owner may change, which needs locks.
        """
        return any(
            parsed.type is not None and parsed.type.attributing and parsed.key not in self.assumptions.events
            for parsed in missing
        )


def _missing(links: set[Key], identifiers: Sequence[ParsedIdentifier]) -> list[ParsedIdentifier] | None:
    """The weak identifiers that are not among the links; None if one of them is set aside: that has to be listed."""
    missing: list[ParsedIdentifier] = []
    for parsed in identifiers:
        if not parsed.proves and parsed.key not in links:
            if parsed.refusal_reason is not None:
                return None
            missing.append(parsed)
    return missing
