"""What weak identifiers decide: where an event goes that shows nothing strong, and to whom a new strong identifier
belongs. They never merge people.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmp_identity.domain.attribution import Candidate, attributed, ownership
from dmp_identity.domain.graph import Graph
from dmp_identity.domain.parsed_identifier import Key, Observation, ParsedIdentifier
from dmp_identity.domain.plan import NewLink, Plan


class WeakIdentifiers:
    """Decides by a graph, and notes what changes in it and in a plan."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self._graph = graph
        self._plan = plan

    def attribute(self, observation: Observation, *, created_at_us: int) -> int:
        """The profile of an event that shows weak or refused identifiers only; 0 if it shows nothing at all.

        A strong value that many share may have an anonymous profile, too. created_at_us: when a profile that is made
        here counts as created.
        """
        owner = attributed(observation.weak, self._owner)
        target = self._anonymous(observation, created_at_us) if owner is None else owner.profile
        if target:
            self.link(observation, target)
        return target

    def profile_to_help(self, observation: Observation, unknown: Sequence[ParsedIdentifier]) -> tuple[int, Key] | None:
        """The profile that new strong identifiers go to because of a weak identifier beside them, and that weak
        identifier; None if there is none, and a new profile is needed.

        Adopting comes first: if an anonymous person owns the browser, the new identifiers say who that is. Assisting
        comes second: if an identified person owns the device and has no value of these types, the new ones are that
        person's.
        """
        return self._anonymous_to_adopt(observation) or self._profile_to_assist(observation, unknown)

    def link(self, observation: Observation, target: int) -> None:
        """Gives the observation's weak identifiers to a profile."""
        for parsed in observation.weak:
            assert parsed.type is not None
            profiles_with = self._graph.profiles_with.setdefault(parsed.key, []) if parsed.type.attributing else None
            if profiles_with is None or len(profiles_with) > parsed.type.max_holders:
                # It decides nothing, or nothing any more: whether the profile has it already need not be known.
                if (parsed.key, target) not in self._plan.unchecked_links:
                    self._plan.unchecked_links[parsed.key, target] = NewLink(parsed=parsed, profile=target)
            elif target not in profiles_with:
                profiles_with.append(target)
                self._plan.links.append(NewLink(parsed=parsed, profile=target))
            else:
                self._plan.links_seen.add((parsed.key, target))

    def _owner(self, parsed: ParsedIdentifier) -> Candidate | None:
        """The profile that owns a weak identifier, None if nobody does, or several people, or too many have it."""
        kind, profiles_with = parsed.type, self._graph.profiles_with.get(parsed.key)
        assert kind is not None
        if not profiles_with or len(profiles_with) > kind.max_holders:
            return None
        return ownership(self._graph.candidates_for(parsed.key), identified_first=kind.identified_first).owner

    def _anonymous(self, observation: Observation, created_at_us: int) -> int:
        """The anonymous profile of the event's first weak identifier, or of its first refused one; made if there is
        none.
        """
        keys = [parsed.key for parsed in (*observation.weak, *observation.refused, *observation.strong)]
        if not keys:
            return 0
        profile = self._graph.anonymous_profile(keys[0])
        if profile is None:
            profile = self._graph.create(created_at_us, identified=False)
            self._graph.anonymous[keys[0]] = self._plan.anonymous[keys[0]] = profile
        return profile

    def _anonymous_to_adopt(self, observation: Observation) -> tuple[int, Key] | None:
        for parsed in observation.weak:
            if parsed.type is not None and parsed.type.adopt_anonymous:
                owner = self._owner(parsed)
                if owner is not None and not owner.identified:
                    return owner.profile, parsed.key
        return None

    def _profile_to_assist(
        self, observation: Observation, unknown: Sequence[ParsedIdentifier]
    ) -> tuple[int, Key] | None:
        for parsed in observation.weak:
            if parsed.type is not None and parsed.type.assist:
                owner = self._owner(parsed)
                if owner is not None and owner.identified:
                    counts = self._graph.people[owner.person].counts
                    if not any(counts.get(new.key[0]) for new in unknown):
                        return owner.profile, parsed.key
        return None
