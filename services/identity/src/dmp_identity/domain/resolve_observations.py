"""Decides which profile each event belongs to, and what its identifiers change: the rules of the identity graph.

Events are taken one after another, as if each had been stored before the next one was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmp_identity.domain.graph import Graph
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.merge_people import MergeAct, MergeEnd, merge_people, pairs_kept_apart
from dmp_identity.domain.parsed_identifier import Key, Observation, ParsedIdentifier
from dmp_identity.domain.plan import MergeEdge, NewIdentifier, Plan, Refusal
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.domain.snapshot import Snapshot
from dmp_identity.domain.weak_identifiers import WeakIdentifiers


class ObservationResolver:
    """Resolves observations in order against a snapshot.

    now_us: when new profiles count as created, microseconds since 1970, unless an observation has a time of its own.
    """

    def __init__(self, policy: IdentifierPolicy, snapshot: Snapshot, *, now_us: int) -> None:
        self._policy = policy
        self._now_us = now_us
        self._plan = Plan()
        self.graph = Graph(snapshot)
        self._weak = WeakIdentifiers(self.graph, self._plan)

    def resolve(self, observation: Observation, *, now_us: int | None = None) -> int:
        """Places one observation; returns its profile, 0 if it shows nothing at all.

        now_us: when a profile that it makes counts as created.
        """
        if now_us is not None:
            self._now_us = now_us
        refusals: list[tuple[RefusalReason, Key, int]] = [
            (parsed.refusal_reason, parsed.key, 0)
            for parsed in observation.refused
            if parsed.refusal_reason is not None
        ]
        profile = self._place(observation, refusals)
        if len(refusals) > len(observation.refused):
            self._add_what_is_not_theirs(observation, profile, refusals)
        self._plan.placements.append(profile)
        self._plan.refusals.extend(
            Refusal(rule=rule, key=key, profile=profile, other=other, ref=observation.ref, source=observation.source)
            for rule, key, other in refusals
        )
        return profile

    def _add_what_is_not_theirs(
        self, observation: Observation, profile: int, refusals: list[tuple[RefusalReason, Key, int]]
    ) -> None:
        """Adds a refusal for every strong identifier of the event that belongs to another person than the event, or to
        nobody.

        Whoever erases that other person later finds by these refusals which events of others show the identifier.
        """
        graph = self.graph
        noted = {key for _, key, _ in refusals}
        rule = refusals[len(observation.refused)][0]
        for parsed in observation.strong:
            owner = graph.owners.get(parsed.key)
            if parsed.key not in noted and (owner is None or graph.person(owner) != graph.person(profile)):
                refusals.append((rule, parsed.key, 0 if owner is None else graph.person(owner)))

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

    def _place(self, observation: Observation, refusals: list[tuple[RefusalReason, Key, int]]) -> int:
        graph = self.graph
        strong = observation.strong
        if graph.shared:
            strong = self._without_shared(strong, refusals)
        matched = [parsed for parsed in strong if parsed.key in graph.owners]
        unknown = [parsed for parsed in strong if parsed.key not in graph.owners]
        if matched and len(strong) > 1:
            hubs = self._hubs(matched, unknown)
            if hubs:
                self._share(hubs, refusals)
                matched = [parsed for parsed in matched if parsed not in hubs]
            graph.note_together([parsed.key for parsed in (*matched, *unknown)])
        if matched:
            return self._join(observation, matched, unknown, refusals)
        if unknown:
            return self._begin(observation, unknown, refusals)
        return self._weak.attribute(observation, created_at_us=self._now_us)

    # -- strong identifiers

    def _join(
        self,
        observation: Observation,
        matched: list[ParsedIdentifier],
        unknown: list[ParsedIdentifier],
        refusals: list[tuple[RefusalReason, Key, int]],
    ) -> int:
        """The event of one or several known people: they become one, unless something speaks against it.

        It goes to the profile of the first identifier in order of rank, and so does what nobody has yet.
        """
        graph = self.graph
        first_match: dict[int, ParsedIdentifier] = {}
        for parsed in matched:
            first_match.setdefault(graph.person(graph.owners[parsed.key]), parsed)
        via = matched[0]
        target = graph.owners[via.key]
        if len(first_match) > 1:
            refused = self._objections(list(first_match))
            if refused:
                refusals.extend((rule, first_match[other].key, other) for rule, other in refused)
            else:
                self._merge(observation, first_match)
        for parsed in unknown:
            self._attach(observation, parsed, target, via.key, refusals)
        if len(matched) + len(unknown) > 1:
            self._note_pairs(observation, matched, unknown, via)
        self._weak.link(observation, target)
        return target

    def _begin(
        self, observation: Observation, unknown: list[ParsedIdentifier], refusals: list[tuple[RefusalReason, Key, int]]
    ) -> int:
        """Places an event whose strong identifiers nobody has. It goes to the profile that a weak identifier names (see
        `WeakIdentifiers.profile_to_help`), else to a new one. Returns the profile.
        """
        helped = self._weak.profile_to_help(observation, unknown)
        if helped is None:
            target, via = self.graph.create(self._now_us, identified=True), None
        else:
            target, via = helped
            person = self.graph.person(target)
            if not self.graph.people[person].identified:
                self._plan.identified.update(profile for profile in (person, target) if profile > 0)
        self.graph.note_together([parsed.key for parsed in unknown])
        for parsed in unknown:
            self._attach(observation, parsed, target, via, refusals)
        self._note_pairs(observation, [], unknown, unknown[0])
        self._weak.link(observation, target)
        return target

    def _merge(self, observation: Observation, first_match: dict[int, ParsedIdentifier]) -> None:
        owners = self.graph.owners
        ends = {root: MergeEnd(profile=owners[parsed.key], key=parsed.key) for root, parsed in first_match.items()}
        act = MergeAct(cause=observation.cause, ref=observation.ref, source=observation.source)
        self._plan.merges.append(merge_people(self.graph, ends, act))

    def _objections(self, roots: Sequence[int]) -> list[tuple[RefusalReason, int]]:
        """The reasons why these people must not become one; empty if there is none.

        Each reason is a rule and a person: the one who is kept from becoming part of the first of `roots`.
        """
        graph = self.graph
        objections = [(RefusalReason.NEVER_MERGE, second) for _, second in pairs_kept_apart(graph, roots)]
        large = self._policy.large_cluster_identifiers
        ranked = sorted(roots, key=lambda root: -graph.people[root].size)
        if graph.people[ranked[1]].size > large:
            objections.append((RefusalReason.LARGE_CLUSTERS, roots[1]))
        for kind in self._policy.types.values():
            if kind.strong and kind.max_per_profile:
                counts = [graph.people[root].counts.get(kind.name, 0) for root in roots]
                # Who has more than the policy allows, from before it did, may still be joined with who has none.
                if sum(counts) > max(kind.max_per_profile, *counts):
                    objections.append((RefusalReason.LIMIT, roots[1]))
        return objections

    def _attach(
        self,
        observation: Observation,
        parsed: ParsedIdentifier,
        target: int,
        via: Key | None,
        refusals: list[tuple[RefusalReason, Key, int]],
    ) -> None:
        """Gives an unknown identifier to a person, unless that has as many of its type as the policy allows."""
        kind = parsed.type
        assert kind is not None
        person = self.graph.people[self.graph.person(target)]
        if kind.max_per_profile and person.counts.get(kind.name, 0) >= kind.max_per_profile:
            refusals.append((RefusalReason.LIMIT, parsed.key, 0))
            return
        self.graph.add_identifier(parsed.key, target)
        # Not the numbers that the store gives: nothing stored arrived in an observation that is only now recorded.
        self.graph.arrivals[parsed.key] = -1 - len(self._plan.placements)
        self._plan.identifiers.append(NewIdentifier(parsed=parsed, profile=target, via=via, observation=observation))

    def _note_pairs(
        self,
        observation: Observation,
        matched: list[ParsedIdentifier],
        unknown: list[ParsedIdentifier],
        via: ParsedIdentifier,
    ) -> None:
        """Notes every pair of strong identifiers that this event shows together, joined or not. Later it is counted how
        many different values one value came with: see `_hubs`.

        A pair is left out if its two identifiers arrived at one profile in one event, or if one arrived by the other
        (`via`): that is stored with the arrival.
        """
        pairs, owners, arrivals = self._plan.pairs, self.graph.owners, self.graph.arrivals
        joined = [parsed for parsed in unknown if parsed.key in owners]
        for position, first in enumerate(matched):
            one, owner, arrival = first.key, owners[first.key], arrivals.get(first.key)
            for second in matched[position + 1 :]:
                other = second.key
                # What arrived at one profile in one observation is known to have been seen together.
                if arrival is None or arrivals.get(other) != arrival or owners[other] != owner:
                    pairs.setdefault((one, other) if one < other else (other, one), observation)
            if first is not via:
                for new in joined:
                    pairs.setdefault((one, new.key) if one < new.key else (new.key, one), observation)
        if len(joined) < len(unknown):
            left_out = [parsed.key for parsed in unknown if parsed.key not in owners]
            known = [parsed.key for parsed in (*matched, *joined)]
            for position, one in enumerate(left_out):
                for other in (*known, *left_out[position + 1 :]):
                    pairs.setdefault((one, other) if one < other else (other, one), observation)

    # -- values that many people share

    def _without_shared(
        self, strong: tuple[ParsedIdentifier, ...], refusals: list[tuple[RefusalReason, Key, int]]
    ) -> tuple[ParsedIdentifier, ...]:
        shared = [parsed for parsed in strong if parsed.key in self.graph.shared]
        refusals.extend((RefusalReason.SHARED, parsed.key, 0) for parsed in shared)
        return tuple(parsed for parsed in strong if parsed not in shared) if shared else strong

    def _hubs(self, matched: list[ParsedIdentifier], unknown: list[ParsedIdentifier]) -> list[ParsedIdentifier]:
        """The matched identifiers that many people share: with this event, each has come with more different values of
        one type than the policy allows (`hub_degree`).

        Only values that would be joined now count as one more: another person's, or one that nobody has.
        """
        graph = self.graph
        people = [graph.person(graph.owners[parsed.key]) for parsed in matched]
        if not unknown and people.count(people[0]) == len(people):
            return []
        new = [parsed.key for parsed in unknown]
        hubs = []
        for parsed, person in zip(matched, people, strict=True):
            limit = parsed.type.hub_degree if parsed.type is not None else 0
            if limit:
                strangers = [other.key for other, whose in zip(matched, people, strict=True) if whose != person]
                if graph.would_exceed(parsed.key, [*strangers, *new], limit):
                    hubs.append(parsed)
        return hubs

    def _share(self, hubs: list[ParsedIdentifier], refusals: list[tuple[RefusalReason, Key, int]]) -> None:
        for parsed in hubs:
            self.graph.shared.add(parsed.key)
            self._plan.shared.append(parsed.key)
            refusals.append((RefusalReason.SHARED, parsed.key, 0))
