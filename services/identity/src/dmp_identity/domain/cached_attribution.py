"""Attributes events of a batch from the cache, as if each had been stored before the next one was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.graph_cache import GraphCache, KnownProfile
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.plan import NewLink


class CachedAttribution:
    """Which events of a batch the cache attributes, and to which profiles.

    identifiers, positions: the identifiers of each event of the batch, and the positions of the events to attribute.
    attributed: event -> profile.
    left: the events that are not attributed. They are to be resolved, in order.
    persons: profile -> person, for the profiles in `attributed`, as the cache had them.
    assumptions: what the answers assume.

    An event whose profile or links depend on an event that is left is left, too.
    """

    def __init__(
        self, cache: GraphCache, identifiers: Sequence[list[ParsedIdentifier]], positions: Sequence[int]
    ) -> None:
        attributor = EventAttributor(cache)
        self.assumptions = attributor.assumptions
        self.attributed: dict[int, KnownProfile] = {}
        self.left: set[int] = set()
        self._identifiers = identifiers
        self._missing: dict[int, Sequence[ParsedIdentifier]] = {}
        self._linking: dict[Key, list[int]] = {}
        for position in positions:
            answer = attributor.attribute(identifiers[position], position)
            if answer is None:
                self.left.add(position)
                continue
            self.attributed[position], missing = answer
            if missing:
                self._missing[position] = missing
                for parsed in missing:
                    if parsed.type is not None and parsed.type.attributing:
                        self._linking.setdefault(parsed.key, []).append(position)
        self.persons = {profile.id: cache.person(profile) for profile in set(self.attributed.values())}
        self._leave_dependents(self.left)
        self.withdraw(self._linking.keys() & self.assumptions.events.keys())

    def withdraw(self, keys: Iterable[Key]) -> None:
        """Leaves every event whose profile, or whose links, depend on one of these identifiers."""
        self._leave_dependents(self._dependents(keys))

    def links(self) -> list[NewLink]:
        """The weak identifiers that profiles may get by what is attributed, each once."""
        links: dict[tuple[Key, int], NewLink] = {}
        for position, missing in self._missing.items():
            profile = self.attributed[position].id
            for parsed in missing:
                links[parsed.key, profile] = NewLink(parsed=parsed, profile=profile)
        return list(links.values())

    def _dependents(self, keys: Iterable[Key]) -> set[int]:
        found: set[int] = set()
        for key in keys:
            found.update(self.assumptions.events.get(key, ()))
            found.update(self._linking.get(key, ()))
        return found & self.attributed.keys()

    def _leave_dependents(self, positions: set[int]) -> None:
        """Leaves these events, then those that depend on their identifiers, and so on."""
        while positions:
            for position in positions:
                self.attributed.pop(position, None)
                self._missing.pop(position, None)
            self.left |= positions
            positions = self._dependents(
                {
                    parsed.key
                    for position in positions
                    for parsed in self._identifiers[position]
                    if not parsed.proves and (parsed.type is None or parsed.type.attributing)
                }
            )
