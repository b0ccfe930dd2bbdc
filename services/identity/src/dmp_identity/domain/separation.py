"""Decides which identifiers of a profile still belong together when one of them is taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dmp_identity.domain.explain import SeenIdentifier
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.undo_merge import components


def parts_without(key: Key, arrivals: Sequence[SeenIdentifier], pairs: Iterable[tuple[Key, Key]]) -> list[list[Key]]:
    """The other identifiers of a profile in groups that hang together without `key`, the oldest group first.

    arrivals: of one profile, in order. pairs: what was seen together among them. Identifiers belong together if they
    arrived in one event, one brought the other, or they were seen together later.
    """
    others = [seen for seen in arrivals if seen.key != key]
    numbers = {seen.key: number for number, seen in enumerate(others)}
    first_of_event: dict[str, int] = {}
    edges = []
    for number, seen in enumerate(others):
        edges.append((number, first_of_event.setdefault(seen.ref, number)))
        if seen.via in numbers:
            edges.append((number, numbers[seen.via]))
    edges += [(numbers[a], numbers[b]) for a, b in pairs if a in numbers and b in numbers]
    return [[others[number].key for number in group] for group in components(range(len(others)), edges)]
