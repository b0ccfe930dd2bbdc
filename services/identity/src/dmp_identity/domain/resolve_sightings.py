"""Decides which profile each event belongs to, and what its identifiers change: the rules of the identity graph.

Events are taken one after another, as if each had been stored before the next one was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmp_identity.domain.attribution import Holder, attributed, ownership
from dmp_identity.domain.graph import Graph
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.plan import MergeEdge, NewIdentifier, NewLink, NewMerge, Plan, Refusal
from dmp_identity.domain.reading import Key, Reading, Rule, Sighting
from dmp_identity.domain.snapshot import Snapshot


class SightingResolver:
    """Resolves sightings in order against a snapshot. `now_us`: when new profiles count as created, microseconds
    since 1970.
    """

    def __init__(self, policy: IdentifierPolicy, snapshot: Snapshot, *, now_us: int) -> None:
        self._policy = policy
        self._now_us = now_us
        self._plan = Plan()
        self.graph = Graph(snapshot)

    def resolve(self, sighting: Sighting) -> int:
        """Places one sighting; returns its profile, 0 if it shows nothing at all."""
        refusals: list[tuple[Rule, Key, int]] = [
            (reading.flaw, reading.key, 0) for reading in sighting.flawed if reading.flaw is not None
        ]
        profile = self._place(sighting, refusals)
        if len(refusals) > len(sighting.flawed):
            self._add_what_is_not_theirs(sighting, profile, refusals)
        self._plan.placements.append(profile)
        self._plan.refusals.extend(
            Refusal(rule=rule, key=key, profile=profile, other=other, ref=sighting.ref, source=sighting.source)
            for rule, key, other in refusals
        )
        return profile

    def _add_what_is_not_theirs(self, sighting: Sighting, profile: int, refusals: list[tuple[Rule, Key, int]]) -> None:
        """Refuses every strong identifier that does not belong to whom the event goes to: whoever erases its owner
        finds by the review list whose events show it.
        """
        graph = self.graph
        noted = {key for _, key, _ in refusals}
        rule = refusals[len(sighting.flawed)][0]
        for reading in sighting.strong:
            owner = graph.owners.get(reading.key)
            if reading.key not in noted and (owner is None or graph.person(owner) != graph.person(profile)):
                refusals.append((rule, reading.key, 0 if owner is None else graph.person(owner)))

    @property
    def is_structural(self) -> bool:
        """True as soon as the graph itself has changed."""
        return bool(self.graph.created) or self._plan.structural

    @property
    def merge_count(self) -> int:
        """How many merges there were so far."""
        return len(self._plan.merges)

    def edges_since(self, count: int) -> Iterator[tuple[int, MergeEdge]]:
        """The edges of all merges but the first `count`, each with its merge's position."""
        for position in range(count, len(self._plan.merges)):
            for edge in self._plan.merges[position].edges:
                yield position, edge

    def plan(self) -> Plan:
        """All changes so far."""
        plan, graph = self._plan, self.graph
        plan.profiles = graph.settled_profiles()
        plan.persons = graph.new_persons()
        plan.absorbed = {root: graph.person(root) for root in graph.absorbed if root > 0}
        return plan

    def _place(self, sighting: Sighting, refusals: list[tuple[Rule, Key, int]]) -> int:
        graph = self.graph
        strong = sighting.strong
        if graph.shared:
            strong = self._without_shared(strong, refusals)
        matched = [reading for reading in strong if reading.key in graph.owners]
        unknown = [reading for reading in strong if reading.key not in graph.owners]
        if matched and len(strong) > 1:
            hubs = self._hubs(matched, unknown)
            if hubs:
                self._share(hubs, refusals)
                matched = [reading for reading in matched if reading not in hubs]
            graph.note_together([reading.key for reading in (*matched, *unknown)])
        if matched:
            return self._join(sighting, matched, unknown, refusals)
        if unknown:
            return self._begin(sighting, unknown, refusals)
        return self._attribute(sighting, refusals)

    # -- strong identifiers

    def _join(
        self, sighting: Sighting, matched: list[Reading], unknown: list[Reading], refusals: list[tuple[Rule, Key, int]]
    ) -> int:
        """The event of one or several known people: they become one, unless something speaks against it.

        It goes to the profile of the first identifier in order of rank, and so does what nobody has yet.
        """
        graph = self.graph
        first_match: dict[int, Reading] = {}
        for reading in matched:
            first_match.setdefault(graph.person(graph.owners[reading.key]), reading)
        via = matched[0]
        target = graph.owners[via.key]
        if len(first_match) > 1:
            refused = self._objections(list(first_match))
            if refused:
                refusals.extend((rule, first_match[other].key, other) for rule, other in refused)
            else:
                self._merge(sighting, sorted(first_match, key=graph.age), first_match)
        for reading in unknown:
            self._attach(sighting, reading, target, via.key, refusals)
        if len(matched) + len(unknown) > 1:
            self._note_pairs(sighting, matched, unknown, via)
        self._add_hints(sighting, target)
        return target

    def _begin(self, sighting: Sighting, unknown: list[Reading], refusals: list[tuple[Rule, Key, int]]) -> int:
        """The event of somebody whose strong identifiers nobody has: an adopted, an assisted or a new profile."""
        helped = self._anonymous_to_adopt(sighting) or self._profile_to_assist(sighting, unknown)
        if helped is None:
            target, via = self.graph.create(self._now_us, identified=True), None
        else:
            target, via = helped
            person = self.graph.person(target)
            if not self.graph.people[person].identified:
                self._plan.identified.update(profile for profile in (person, target) if profile > 0)
        self.graph.note_together([reading.key for reading in unknown])
        for reading in unknown:
            self._attach(sighting, reading, target, via, refusals)
        self._note_pairs(sighting, [], unknown, unknown[0])
        self._add_hints(sighting, target)
        return target

    def _merge(self, sighting: Sighting, roots: list[int], first_match: dict[int, Reading]) -> None:
        graph = self.graph
        edges = []
        key_a = first_match[roots[0]].key
        for root in roots[1:]:
            key_b = first_match[root].key
            survivor, merged = graph.merge(roots[0], root)
            edges.append(
                MergeEdge(
                    survivor=survivor,
                    merged=merged,
                    profile_a=graph.owners[key_a],
                    profile_b=graph.owners[key_b],
                    key_a=key_a,
                    key_b=key_b,
                )
            )
        self._plan.merges.append(
            NewMerge(cause=sighting.cause, ref=sighting.ref, source=sighting.source, edges=tuple(edges))
        )

    def _objections(self, roots: Sequence[int]) -> list[tuple[Rule, int]]:
        """What speaks against these people being one: a rule and whom it keeps from the first of them, for each."""
        graph = self.graph
        objections = [
            (Rule.NEVER_MERGE, second)
            for position, first in enumerate(roots)
            for second in roots[position + 1 :]
            if graph.are_apart(first, second)
        ]
        large = self._policy.large_cluster_identifiers
        ranked = sorted(roots, key=lambda root: -graph.people[root].size)
        if graph.people[ranked[1]].size > large:
            objections.append((Rule.LARGE_CLUSTERS, roots[1]))
        for kind in self._policy.types.values():
            if kind.strong and kind.max_per_profile:
                counts = [graph.people[root].counts.get(kind.name, 0) for root in roots]
                # Who has more than the policy allows, from before it did, may still be joined with who has none.
                if sum(counts) > max(kind.max_per_profile, *counts):
                    objections.append((Rule.LIMIT, roots[1]))
        return objections

    def _attach(
        self, sighting: Sighting, reading: Reading, target: int, via: Key | None, refusals: list[tuple[Rule, Key, int]]
    ) -> None:
        """Gives an unknown identifier to a person, unless that has as many of its type as the policy allows."""
        kind = reading.type
        assert kind is not None
        person = self.graph.people[self.graph.person(target)]
        if kind.max_per_profile and person.counts.get(kind.name, 0) >= kind.max_per_profile:
            refusals.append((Rule.LIMIT, reading.key, 0))
            return
        self.graph.add_identifier(reading.key, target)
        # Not the numbers that the store gives: nothing stored arrived in a sighting that is only now recorded.
        self.graph.arrivals[reading.key] = -1 - len(self._plan.placements)
        self._plan.identifiers.append(NewIdentifier(reading=reading, profile=target, via=via, sighting=sighting))

    def _note_pairs(self, sighting: Sighting, matched: list[Reading], unknown: list[Reading], via: Reading) -> None:
        """Notes which identifiers were seen together here, also those that were not joined: of them it is counted how
        many values somebody's value comes with. What joined is connected by its arrival with `via` already.
        """
        pairs, owners, arrivals = self._plan.pairs, self.graph.owners, self.graph.arrivals
        joined = [reading for reading in unknown if reading.key in owners]
        for position, first in enumerate(matched):
            one, owner, arrival = first.key, owners[first.key], arrivals.get(first.key)
            for second in matched[position + 1 :]:
                other = second.key
                # What arrived at one profile in one sighting is known to have been seen together.
                if arrival is None or arrivals.get(other) != arrival or owners[other] != owner:
                    pairs.setdefault((one, other) if one < other else (other, one), sighting)
            if first is not via:
                for new in joined:
                    pairs.setdefault((one, new.key) if one < new.key else (new.key, one), sighting)
        if len(joined) < len(unknown):
            known = [reading.key for reading in (*matched, *joined)]
            for left_out in unknown:
                if left_out.key not in owners:
                    for one in known:
                        pairs.setdefault((one, left_out.key) if one < left_out.key else (left_out.key, one), sighting)

    # -- values that many people share

    def _without_shared(
        self, strong: tuple[Reading, ...], refusals: list[tuple[Rule, Key, int]]
    ) -> tuple[Reading, ...]:
        shared = [reading for reading in strong if reading.key in self.graph.shared]
        refusals.extend((Rule.SHARED, reading.key, 0) for reading in shared)
        return tuple(reading for reading in strong if reading not in shared) if shared else strong

    def _hubs(self, matched: list[Reading], unknown: list[Reading]) -> list[Reading]:
        """The matched identifiers that have come with too many values of one type, now that they would be joined with
        one more: somebody else's, or one that nobody has.
        """
        graph = self.graph
        people = [graph.person(graph.owners[reading.key]) for reading in matched]
        if not unknown and people.count(people[0]) == len(people):
            return []
        new = [reading.key for reading in unknown]
        hubs = []
        for reading, person in zip(matched, people, strict=True):
            limit = reading.type.hub_degree if reading.type is not None else 0
            if limit:
                strangers = [other.key for other, whose in zip(matched, people, strict=True) if whose != person]
                if graph.would_exceed(reading.key, [*strangers, *new], limit):
                    hubs.append(reading)
        return hubs

    def _share(self, hubs: list[Reading], refusals: list[tuple[Rule, Key, int]]) -> None:
        for reading in hubs:
            self.graph.shared.add(reading.key)
            self._plan.shared.append(reading.key)
            refusals.append((Rule.SHARED, reading.key, 0))

    # -- weak identifiers

    def _attribute(self, sighting: Sighting, refusals: list[tuple[Rule, Key, int]]) -> int:
        """The event that shows weak or unusable identifiers only."""
        owner = attributed(sighting.hints, self._owner)
        target = self._anonymous(sighting, refusals) if owner is None else owner.profile
        if target:
            self._add_hints(sighting, target)
        return target

    def _owner(self, reading: Reading) -> Holder | None:
        """The profile that owns a weak identifier, None if nobody does, or several people, or too many have it."""
        kind, holders = reading.type, self.graph.holders.get(reading.key)
        assert kind is not None
        if not holders or len(holders) > kind.max_holders:
            return None
        return ownership(self.graph.holders_of(reading.key), identified_first=kind.identified_first).owner

    def _anonymous(self, sighting: Sighting, refusals: list[tuple[Rule, Key, int]]) -> int:
        """The anonymous profile of the event's first weak identifier, or of its first unusable one; made if there is
        none.
        """
        keys = [reading.key for reading in (*sighting.hints, *sighting.flawed)] or [key for _, key, _ in refusals]
        if not keys:
            return 0
        profile = self.graph.anonymous_profile(keys[0])
        if profile is None:
            profile = self.graph.create(self._now_us, identified=False)
            self.graph.anonymous[keys[0]] = self._plan.anonymous[keys[0]] = profile
        return profile

    def _anonymous_to_adopt(self, sighting: Sighting) -> tuple[int, Key] | None:
        for reading in sighting.hints:
            if reading.type is not None and reading.type.adopt_anonymous:
                owner = self._owner(reading)
                if owner is not None and not owner.identified:
                    return owner.profile, reading.key
        return None

    def _profile_to_assist(self, sighting: Sighting, unknown: list[Reading]) -> tuple[int, Key] | None:
        for reading in sighting.hints:
            if reading.type is not None and reading.type.assist:
                owner = self._owner(reading)
                if owner is not None and owner.identified:
                    counts = self.graph.people[owner.person].counts
                    if not any(counts.get(new.key[0]) for new in unknown):
                        return owner.profile, reading.key
        return None

    def _add_hints(self, sighting: Sighting, target: int) -> None:
        for reading in sighting.hints:
            assert reading.type is not None
            holders = self.graph.holders.setdefault(reading.key, []) if reading.type.attributing else None
            if holders is None or len(holders) > reading.type.max_holders:
                # It decides nothing, or nothing any more: whether the profile has it already need not be known.
                if (reading.key, target) not in self._plan.hints:
                    self._plan.hints[reading.key, target] = NewLink(reading=reading, profile=target)
            elif target not in holders:
                holders.append(target)
                self._plan.links.append(NewLink(reading=reading, profile=target))
            else:
                self._plan.links_seen.add((reading.key, target))


def resolve_sightings(
    policy: IdentifierPolicy, snapshot: Snapshot, sightings: Sequence[Sighting], *, now_us: int
) -> Plan:
    """The plan for all sightings, in order."""
    resolver = SightingResolver(policy, snapshot, now_us=now_us)
    for sighting in sightings:
        resolver.resolve(sighting)
    return resolver.plan()
