"""Graphs and plans in short: what a table test gives to the rules, and what it expects of them.

An identifier is written `email:ann`, several are separated by spaces. New profiles are -1, -2, in order of making.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from dmp_identity.domain.parsed_identifier import Key, Observation
from dmp_identity.domain.plan import Plan
from dmp_identity.domain.resolve_observations import ObservationResolver
from dmp_identity.domain.snapshot import GraphVersion, Person, Snapshot

VERSION: Final = GraphVersion(server=7, people=1, evidence=1)
NOW_US: Final = 10_000
"""When the events of a plan happen: later than everything that is stored."""

TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "user_id": {"strength": "strong"},
    "email": {"strength": "strong", "max_per_profile": 3},
    "phone": {"strength": "strong", "hub_degree": 2},
    "browser_id": {"strength": "weak", "attribute": True, "adopt_anonymous": True, "max_holders": 3},
    "device_id": {"strength": "weak", "attribute": True, "assist": True},
    "ip_address": {"strength": "weak"},
}
"""A policy with few rules: a person has at most three e-mails, a phone comes with at most two values of one type."""


def small_policy(**settings: Any) -> IdentifierPolicy:  # noqa: ANN401  # settings of every type
    """The policy of TYPES; `-` and the like are set aside in it. settings: of the whole policy."""
    return policy_from_mapping({"types": TYPES, **settings})


@dataclass(frozen=True, slots=True)
class Known:
    """A stored profile. It is as old as its id is small.

    strong, weak: its identifiers.
    of: the person whom it belongs to, by the root; 0 if it is a person of its own.
    together: the number of the observation in which all that is strong arrived; 0 if each arrived on its own.
    """

    id: int
    strong: str = ""
    weak: str = ""
    of: int = 0
    together: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Also:
    """What else is stored.

    apart: pairs of profiles that somebody said are different.
    shared: identifiers that match nobody any more.
    anonymous: identifier -> its anonymous profile.
    seen_with: identifier -> what it was ever seen together with.
    more: root -> how many more strong identifiers the person has, of no type that counts.
    """

    apart: Sequence[tuple[int, int]] = ()
    shared: str = ""
    anonymous: Mapping[str, int] = field(default_factory=dict)
    seen_with: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[int, int] = field(default_factory=dict)


NOTHING_ELSE: Final = Also()


def key(text: str) -> Key:
    """The key of an identifier in short."""
    kind, _, value = text.partition(":")
    return kind, value


def keys(text: str) -> list[Key]:
    """The keys of several."""
    return [key(one) for one in text.split()]


def short(one: Key | None) -> str:
    """A key in short; the empty text if there is none."""
    return "" if one is None else ":".join(one)


def snapshot(known: Sequence[Known], also: Also = NOTHING_ELSE) -> Snapshot:
    """What the store knows if just these profiles are there."""
    people: dict[int, Person] = {}
    holding: dict[Key, list[int]] = {}
    for profile in known:
        root = profile.of or profile.id
        person = people.setdefault(root, Person(created_at_us=root * 100, identified=False, counts={}))
        strong = keys(profile.strong)
        person.identified = person.identified or bool(strong)
        person.size += len(strong)
        for kind, _ in strong:
            person.counts[kind] = person.counts.get(kind, 0) + 1
        for one in keys(profile.weak):
            holding.setdefault(one, []).append(profile.id)
    for root, count in also.more.items():
        people[root].size += count
    arrivals = {
        one: profile.together or 1000 * profile.id + n
        for profile in known
        for n, one in enumerate(keys(profile.strong))
    }
    return Snapshot(
        version=VERSION,
        owners={one: profile.id for profile in known for one in keys(profile.strong)},
        arrivals=arrivals,
        shared=frozenset(keys(also.shared)),
        persons={profile.id: profile.of or profile.id for profile in known},
        people=people,
        profiles_with=holding,
        anonymous={key(one): profile for one, profile in also.anonymous.items()},
        apart=also.apart,
        together={key(one): keys(others) for one, others in also.seen_with.items()},
    )


def observation(text: str, policy: IdentifierPolicy, ref: str = "e") -> Observation:
    """An event that shows these identifiers."""
    parser = IdentifierParser(policy)
    parsed = [parser.parse(*one) for one in keys(text)]
    shown = [one for one in parsed if one is not None]
    return parser.observation(ref=ref, source="web", cause="event", identifiers=shown)


def plan_for(
    known: Sequence[Known], events: Sequence[str], also: Also = NOTHING_ELSE, policy: IdentifierPolicy | None = None
) -> Plan:
    """The plan for some events, one after another, if just these profiles are there."""
    policy = policy or small_policy()
    resolver = ObservationResolver(policy, snapshot(known, also), now_us=NOW_US)
    placed = [resolver.resolve(observation(text, policy, ref=f"e{n}")) for n, text in enumerate(events)]
    made = resolver.plan()
    assert made.placements == placed
    return made


def changes(plan: Plan) -> dict[str, Any]:
    """The plan in short, without what is empty."""
    told: dict[str, Any] = {
        "goes_to": plan.placements,
        "created": {one.id: "identified" if one.identified else "anonymous" for one in plan.profiles},
        "arrives": {short(one.parsed.key): (one.profile, short(one.via)) for one in plan.identifiers},
        "links": [(short(one.parsed.key), one.profile) for one in plan.links],
        "unchecked_links": [(short(one), profile) for one, profile in plan.unchecked_links],
        "anonymous": {short(one): profile for one, profile in plan.anonymous.items()},
        "identified": plan.identified,
        "merges": [
            [
                (
                    edge.survivor,
                    edge.merged,
                    f"{edge.profile_a} {short(edge.key_a)}",
                    f"{edge.profile_b} {short(edge.key_b)}",
                )
                for edge in merge.edges
            ]
            for merge in plan.merges
        ],
        "absorbed": plan.absorbed,
        "shared": [short(one) for one in plan.shared],
        "pairs": [(short(one), short(other)) for one, other in plan.pairs],
        "refused": [(one.rule.value, short(one.key), one.profile, one.other) for one in plan.refusals],
    }
    return {name: value for name, value in told.items() if value}
