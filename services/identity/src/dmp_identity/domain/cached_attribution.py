"""Attributes events of a batch from the cache, as if each had been stored before the next one was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dmp_identity.domain.graph_cache import Assumptions, GraphCache, KnownProfile
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.plan import NewLink


class CachedAttribution:
    """Which events of a batch the memory places, and where. `readings`: of each event; `positions`: of the events to
    place.

    What is not placed is to be resolved, in order. An event whose links or whose place depend on one that is not placed
    is not placed either. placed: event -> profile. persons: their profiles -> persons, when they were placed.
    """

    def __init__(
        self, cache: GraphCache, identifiers: Sequence[list[ParsedIdentifier]], positions: Sequence[int]
    ) -> None:
        self.assumptions = Assumptions()
        self._identifiers = identifiers
        self.placed: dict[int, KnownProfile] = {}
        self._missing: dict[int, list[ParsedIdentifier]] = {}
        self._linking: dict[Key, list[int]] = {}
        self.unplaced: set[int] = set()
        for position in positions:
            missing: list[ParsedIdentifier] = []
            profile = cache.place(identifiers[position], missing, self.assumptions, position)
            if profile is None:
                self.unplaced.add(position)
                continue
            self.placed[position] = profile
            if missing:
                self._missing[position] = missing
                for parsed in missing:
                    if parsed.type is not None and parsed.type.attributing:
                        self._linking.setdefault(parsed.key, []).append(position)
        self.persons = {profile.id: cache.person(profile) for profile in set(self.placed.values())}
        self._withdraw_dependents(self.unplaced)
        self.withdraw(self._linking.keys() & self.assumptions.events.keys())

    def withdraw(self, keys: Iterable[Key]) -> None:
        """Leaves unplaced what was placed by, or links, one of these identifiers."""
        self._withdraw_dependents(self._dependents(keys))

    def links(self) -> list[NewLink]:
        """The weak identifiers that profiles may get by what is placed, each once."""
        links: dict[tuple[Key, int], NewLink] = {}
        for position, missing in self._missing.items():
            profile = self.placed[position].id
            for parsed in missing:
                links[parsed.key, profile] = NewLink(parsed=parsed, profile=profile)
        return list(links.values())

    def _dependents(self, keys: Iterable[Key]) -> set[int]:
        found: set[int] = set()
        for key in keys:
            found.update(self.assumptions.events.get(key, ()))
            found.update(self._linking.get(key, ()))
        return found & self.placed.keys()

    def _withdraw_dependents(self, positions: set[int]) -> None:
        """Leaves these events unplaced, then those that depend on their identifiers, and so on."""
        while positions:
            for position in positions:
                self.placed.pop(position, None)
                self._missing.pop(position, None)
            self.unplaced |= positions
            positions = self._dependents(
                {
                    parsed.key
                    for position in positions
                    for parsed in self._identifiers[position]
                    if not parsed.proves and (parsed.type is None or parsed.type.attributing)
                }
            )
