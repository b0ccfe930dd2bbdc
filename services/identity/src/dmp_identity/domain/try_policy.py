"""What another policy would make of stored evidence: which people would become one, and who would not be one any more.

It follows what was stored: arrivals, pairs, merges and weak links, in about the order in which they came. Limits count
what is joined on the way. Evidence that the policy of the day refused is not followed; it only counts towards values
being shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.parsed_identifier import Key

# So many strong identifiers of one observation are counted as seen together.
_SIBLINGS: Final = 50
_SHOWN_EFFECTS: Final = 100
_SHOWN_NAMES: Final = 20


class Arrival(msgspec.Struct, frozen=True):
    """A stored identifier, strong or weak: its profile and person, and, if it is strong, what it arrived with.

    ref: the event or request that showed it; empty if it is weak.
    """

    key: Key
    shown: str
    profile: int
    person: int
    ref: str
    via: Key | None


class Evidence(msgspec.Struct, frozen=True):
    """Everything that is stored.

    pairs: seen together, and one person's. refused: seen together, but not one person's. merged: profiles joined by
    hand. edges: identifiers that merged two people.
    """

    arrivals: Sequence[Arrival]
    pairs: Sequence[tuple[Key, Key]]
    refused: Sequence[tuple[Key, Key]]
    edges: Sequence[tuple[Key, Key]]
    merged: Sequence[tuple[int, int]]


class Effect(msgspec.Struct, frozen=True):
    """One difference: the people now, how many there would be, and identifiers that show it; at most 20 of each."""

    people: list[int]
    people_after: int
    keys: list[Key]


class SetAside(msgspec.Struct, frozen=True):
    """A stored strong identifier that the policy does not follow, and the person who keeps it."""

    person: int
    key: Key
    rule: str


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How many differences there are, and the first 100 of each kind."""

    people_before: int
    people_after: int
    merge_count: int
    split_count: int
    set_aside_count: int
    merges: list[Effect]
    splits: list[Effect]
    set_aside: list[SetAside]


class _Sets:
    """Disjoint sets of anything. `limits`: type -> how many different values of it one set may have, 0: any number."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._parents: dict[Hashable, Hashable] = {}
        self._limits = limits
        self._counts: dict[Hashable, Counter[str]] = {}

    def add_value(self, key: Key, read: Key) -> None:
        """Adds a value. Values that the policy compares as one are one."""
        compared = ("compared", read)
        if compared not in self._parents:
            self._counts[self.find(compared)] = Counter({read[0]: 1})
        self.join(key, compared)

    def join_within_limits(self, first: Hashable, second: Hashable) -> None:
        """Makes two sets one, unless that has too many values of a type."""
        one, other = (self._counts.get(self.find(item), Counter()) for item in (first, second))
        for kind, count in one.items():
            limit = self._limits.get(kind, 0)
            if limit and self.find(first) != self.find(second) and other[kind] and count + other[kind] > limit:
                return
        self.join(first, second)

    def find(self, item: Hashable) -> Hashable:
        parents = self._parents
        parents.setdefault(item, item)
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    def join(self, first: Hashable, second: Hashable) -> None:
        one, other = self.find(first), self.find(second)
        if one != other:
            self._parents[one] = other
            self._counts.setdefault(other, Counter()).update(self._counts.pop(one, ()))


def try_policy(policy: IdentifierPolicy, evidence: Evidence) -> Trial:
    """Compares the people as stored with those that the policy would make of the same evidence."""
    parser = IdentifierParser(policy)
    proving: dict[Key, Key] = {}
    set_aside: list[SetAside] = []
    for arrival in evidence.arrivals:
        parsed = parser.parse(arrival.key[0], arrival.shown)
        if parsed is not None and parsed.proves:
            proving[arrival.key] = parsed.key
        elif arrival.ref and parsed is not None and parsed.refusal_reason is not None:
            set_aside.append(SetAside(person=arrival.person, key=arrival.key, rule=parsed.refusal_reason.value))
    hubs = _hubs(policy, evidence, proving)
    limits = {name: kind.max_per_profile for name, kind in policy.types.items()}
    sets = _joined(evidence, {key: read for key, read in proving.items() if key not in hubs}, limits)
    return _compared(evidence, proving, sets, set_aside)


def _hubs(policy: IdentifierPolicy, evidence: Evidence, proving: dict[Key, Key]) -> set[Key]:
    """Identifiers that came with more values of one type than the policy allows."""
    degrees: Counter[tuple[Key, str]] = Counter()
    seen: set[tuple[Key, Key]] = set()
    together = [(a.via, a.key) for a in evidence.arrivals if a.via is not None]
    arrived: dict[tuple[int, str], list[Key]] = {}
    for arrival in evidence.arrivals:
        if arrival.ref:
            siblings = arrived.setdefault((arrival.profile, arrival.ref), [])
            together += [(sibling, arrival.key) for sibling in siblings[:_SIBLINGS]]
            siblings.append(arrival.key)
    for first, second in (*together, *evidence.pairs, *evidence.refused, *evidence.edges):
        for one, other in ((first, second), (second, first)):
            # A value that was set aside is nobody's; it was seen all the same.
            kind = policy.types.get(other[0])
            counts = other in proving or (kind is not None and kind.strong)
            if one in proving and counts and (one, other) not in seen:
                seen.add((one, other))
                degrees[one, other[0]] += 1
    return {
        key
        for (key, _), degree in degrees.items()
        if (limit := policy.types[proving[key][0]].hub_degree) and degree > limit
    }


def _joined(evidence: Evidence, proving: dict[Key, Key], limits: Mapping[str, int]) -> _Sets:
    sets = _Sets(limits)
    of_profile: dict[int, Key] = {}
    of_observation: dict[tuple[int, str], Key] = {}
    for arrival in evidence.arrivals:
        read = proving.get(arrival.key)
        if read is None:
            continue
        sets.add_value(arrival.key, read)
        if not arrival.ref:
            # A weak identifier that the policy calls strong: all that have it belong together.
            sets.join_within_limits(arrival.key, of_profile.setdefault(arrival.profile, arrival.key))
            continue
        of_profile.setdefault(arrival.profile, arrival.key)
        sets.join_within_limits(arrival.key, of_observation.setdefault((arrival.profile, arrival.ref), arrival.key))
        if arrival.via in proving:
            sets.join_within_limits(arrival.key, arrival.via)
    for first, second in (*evidence.pairs, *evidence.edges):
        if first in proving and second in proving:
            sets.join_within_limits(first, second)
    for one, other in evidence.merged:
        if one in of_profile and other in of_profile:
            sets.join(of_profile[one], of_profile[other])
    return sets


def _compared(evidence: Evidence, proving: dict[Key, Key], sets: _Sets, set_aside: list[SetAside]) -> Trial:
    people: dict[int, dict[Hashable, Key]] = {}
    groups: dict[Hashable, dict[int, Key]] = {}
    for arrival in evidence.arrivals:
        if arrival.key in proving:
            group = sets.find(arrival.key)
            people.setdefault(arrival.person, {}).setdefault(group, arrival.key)
            groups.setdefault(group, {}).setdefault(arrival.person, arrival.key)
    merges = [(sorted(of_group), 1, of_group.values()) for of_group in groups.values() if len(of_group) > 1]
    splits = [([who], len(of_person), of_person.values()) for who, of_person in people.items() if len(of_person) > 1]
    return Trial(
        people_before=len({arrival.person for arrival in evidence.arrivals if arrival.ref}),
        people_after=len(groups),
        merge_count=len(merges),
        split_count=len(splits),
        set_aside_count=len(set_aside),
        merges=_effects(merges[:_SHOWN_EFFECTS]),
        splits=_effects(splits[:_SHOWN_EFFECTS]),
        set_aside=set_aside[:_SHOWN_EFFECTS],
    )


def _effects(found: Iterable[tuple[list[int], int, Iterable[Key]]]) -> list[Effect]:
    return [
        Effect(people=people[:_SHOWN_NAMES], people_after=after, keys=list(islice(keys, _SHOWN_NAMES)))
        for people, after, keys in found
    ]
