"""Decides how people become one, whatever says so: evidence, a person, or other rules of comparison.

The oldest person survives, the others become part of it, and nobody is merged whom somebody keeps apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from dmp_identity.domain.errors import NeverMergeError
from dmp_identity.domain.graph import Graph
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.plan import MergeEdge, NewMerge, Plan
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.snapshot import Snapshot


class MergeEnd(msgspec.Struct, frozen=True, gc=False):
    """What names one of the people to merge.

    profile: a profile of this person.
    key: the identifier that is the evidence, None if a person decided.
    """

    profile: int
    key: Key | None


class MergeAct(msgspec.Struct, frozen=True):
    """Who merges, and why.

    cause: `event`, `contact`, `manual` or `renormalise`.
    ref: the id of the event, the request or the run; empty for a person's decision.
    source: who sent the event.
    reason: what the person who decided wrote.
    """

    cause: str
    ref: str = ""
    source: str = ""
    reason: str = ""


def pairs_kept_apart(graph: Graph, roots: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs among these people of whom somebody said that they are different, in the order of `roots`."""
    return [pair for pair in itertools.combinations(roots, 2) if graph.are_apart(*pair)]


def merge_people(graph: Graph, ends: Mapping[int, MergeEnd], act: MergeAct) -> NewMerge:
    """Merges people in the graph; `ends` has two or more people, each with what names it. Objections are not asked for
    here: see `pairs_kept_apart`.
    """
    first, *others = sorted(ends, key=graph.age)
    edges = []
    for other in others:
        survivor, merged = graph.merge(first, other)
        edges.append(
            MergeEdge(
                survivor=survivor,
                merged=merged,
                profile_a=ends[first].profile,
                profile_b=ends[other].profile,
                key_a=ends[first].key,
                key_b=ends[other].key,
            )
        )
    return NewMerge(
        cause=act.cause,
        ref=act.ref,
        source=act.source,
        edges=tuple(edges),
        reason=act.reason,
        identifiers=graph.people[edges[0].survivor].size,
    )


def plan_merge(snapshot: Snapshot, ends: Sequence[MergeEnd], act: MergeAct) -> Plan:
    """The plan that makes the people of these profiles one; it is empty if they are one person already. Of several
    profiles of one person the first one is named. Raises NeverMergeError.
    """
    graph = Graph(snapshot)
    of_person: dict[int, MergeEnd] = {}
    for end in ends:
        of_person.setdefault(graph.person(end.profile), end)
    if len(of_person) < 2:
        return Plan()
    apart = pairs_kept_apart(graph, sorted(of_person, key=graph.age))
    if apart:
        raise NeverMergeError((public_id(apart[0][0]), public_id(apart[0][1])))
    anonymous = {root for root in of_person if not graph.people[root].identified}
    merge = merge_people(graph, of_person, act)
    survivor = merge.edges[0].survivor
    return Plan(
        merges=[merge],
        absorbed={edge.merged: survivor for edge in merge.edges},
        identified={survivor} if survivor in anonymous and graph.people[survivor].identified else set(),
    )
