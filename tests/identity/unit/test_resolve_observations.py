"""The specification of matching: given these profiles, this event makes this plan.

`Known(1, "email:ann")` is stored profile 1, at which the e-mail arrived; the events come one after another. See
`tests/identity/graphs.py` for the short forms.
"""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.resolve_observations import ObservationResolver
from tests.identity.graphs import (
    NOW_US,
    Known,
    changes,
    observation,
    plan_for,
    small_policy,
    snapshot,
)

ANN, BEN, CAM = Known(1, "email:ann"), Known(2, "phone:ben"), Known(3, "user_id:cam")


STRONG: dict[str, tuple[list[Known], list[str], dict[str, Any]]] = {
    "a known identifier says who it is": ([ANN], ["email:ann"], {"goes_to": [1]}),
    "an identifier stays where it arrived": (
        [ANN, Known(2, "phone:ann", of=1)],
        ["phone:ann"],
        {"goes_to": [2]},
    ),
    "the first type of the policy says which profile": (
        [ANN, Known(2, "user_id:ann", of=1)],
        ["email:ann user_id:ann"],
        {"goes_to": [2], "pairs": [("email:ann", "user_id:ann")]},
    ),
    "what arrived together is known to have been seen together": (
        [Known(1, "user_id:ann email:ann", together=9)],
        ["email:ann user_id:ann"],
        {"goes_to": [1]},
    ),
    "what arrived at one profile in two observations is a pair": (
        [Known(1, "user_id:ann email:ann")],
        ["email:ann user_id:ann"],
        {"goes_to": [1], "pairs": [("email:ann", "user_id:ann")]},
    ),
    "nobody has it: a new profile": (
        [],
        ["email:ann"],
        {"goes_to": [-1], "created": {-1: "identified"}, "arrives": {"email:ann": (-1, "")}},
    ),
    "what is new arrives by the first known one": (
        [ANN],
        ["phone:ann user_id:ann email:ann"],
        {"goes_to": [1], "arrives": {"user_id:ann": (1, "email:ann"), "phone:ann": (1, "email:ann")}},
    ),
    "what is new is a pair with every other known one": (
        [ANN, Known(2, "phone:ann", of=1)],
        ["email:ann phone:ann user_id:ann"],
        {
            "goes_to": [1],
            "arrives": {"user_id:ann": (1, "email:ann")},
            "pairs": [("email:ann", "phone:ann"), ("phone:ann", "user_id:ann")],
        },
    ),
    "what arrived in different events of the batch is a pair once it is seen together again": (
        [],
        ["email:ann", "phone:ann email:ann", "email:ann phone:ann"],
        {
            "goes_to": [-1, -1, -1],
            "created": {-1: "identified"},
            "arrives": {"email:ann": (-1, ""), "phone:ann": (-1, "email:ann")},
            "pairs": [("email:ann", "phone:ann")],
        },
    ),
    "what arrived in one event of the batch is none": (
        [],
        ["email:ann phone:ann", "phone:ann email:ann"],
        {
            "goes_to": [-1, -1],
            "created": {-1: "identified"},
            "arrives": {"email:ann": (-1, ""), "phone:ann": (-1, "")},
        },
    ),
    "one event after another": (
        [],
        ["email:ann", "phone:ann email:ann", "phone:ann"],
        {
            "goes_to": [-1, -1, -1],
            "created": {-1: "identified"},
            "arrives": {"email:ann": (-1, ""), "phone:ann": (-1, "email:ann")},
        },
    ),
}


@pytest.mark.parametrize("case", STRONG)
def test_strong_identifiers(case: str) -> None:
    known, events, expected = STRONG[case]
    assert changes(plan_for(known, events)) == expected


def test_an_event_that_shows_nothing_goes_nowhere() -> None:
    assert changes(plan_for([ANN], [""])) == {"goes_to": [0]}


@pytest.mark.parametrize("shown", ["email:ann", "browser_id:x", "email:-"])
def test_a_profile_counts_as_created_when_its_own_event_was_accepted(shown: str) -> None:
    policy = small_policy()
    resolver = ObservationResolver(policy, snapshot([]), now_us=NOW_US)
    resolver.resolve(observation("ip_address:9", policy, ref="e1"), now_us=7)
    resolver.resolve(observation(shown, policy, ref="e2"), now_us=8)
    assert [profile.created_at_us for profile in resolver.graph.created] == [7, 8]


MERGES: dict[str, tuple[list[Known], list[str], dict[str, Any]]] = {
    "two known people become one, the older one answers": (
        [ANN, BEN],
        ["phone:ben email:ann"],
        {
            "goes_to": [1],
            "merges": [[(1, 2, "1 email:ann", "2 phone:ben")]],
            "absorbed": {2: 1},
            "pairs": [("email:ann", "phone:ben")],
        },
    ),
    "the event goes by the first type, whoever is older": (
        [ANN, CAM],
        ["email:ann user_id:cam"],
        {
            "goes_to": [3],
            "merges": [[(1, 3, "1 email:ann", "3 user_id:cam")]],
            "absorbed": {3: 1},
            "pairs": [("email:ann", "user_id:cam")],
        },
    ),
    "three at once": (
        [ANN, BEN, CAM],
        ["email:ann phone:ben user_id:cam"],
        {
            "goes_to": [3],
            "merges": [[(1, 2, "1 email:ann", "2 phone:ben"), (1, 3, "1 email:ann", "3 user_id:cam")]],
            "absorbed": {2: 1, 3: 1},
            "pairs": [("email:ann", "user_id:cam"), ("phone:ben", "user_id:cam"), ("email:ann", "phone:ben")],
        },
    ),
    "a merge of clusters names the profiles that have the evidence": (
        [ANN, Known(4, "email:bo"), Known(5, "phone:bo", of=4)],
        ["email:ann phone:bo"],
        {
            "goes_to": [1],
            "merges": [[(1, 4, "1 email:ann", "5 phone:bo")]],
            "absorbed": {4: 1},
            "pairs": [("email:ann", "phone:bo")],
        },
    ),
    "a chain in one batch ends at the oldest": (
        [ANN, BEN, CAM],
        ["phone:ben user_id:cam", "email:ann phone:ben", "user_id:cam"],
        {
            "goes_to": [3, 1, 3],
            "merges": [[(2, 3, "2 phone:ben", "3 user_id:cam")], [(1, 2, "1 email:ann", "2 phone:ben")]],
            "absorbed": {3: 1, 2: 1},
            "pairs": [("phone:ben", "user_id:cam"), ("email:ann", "phone:ben")],
        },
    ),
    "what was made in the batch is absorbed without a stored person": (
        [ANN],
        ["phone:new", "email:ann phone:new"],
        {
            "goes_to": [-1, 1],
            "created": {-1: "identified"},
            "arrives": {"phone:new": (-1, "")},
            "merges": [[(1, -1, "1 email:ann", "-1 phone:new")]],
            "pairs": [("email:ann", "phone:new")],
        },
    ),
}


@pytest.mark.parametrize("case", MERGES)
def test_people_become_one(case: str) -> None:
    known, events, expected = MERGES[case]
    assert changes(plan_for(known, events)) == expected


def test_a_merge_tells_what_made_it() -> None:
    (merge,) = plan_for([ANN, BEN], ["email:ann phone:ben"]).merges
    assert (merge.cause, merge.ref, merge.source, merge.reason) == ("event", "e0", "web", "")


def test_new_profiles_are_made_at_the_time_of_the_batch() -> None:
    assert [profile.created_at_us for profile in plan_for([], ["email:ann", "browser_id:b"]).profiles] == [
        NOW_US,
        NOW_US,
    ]


def test_it_is_structural_as_soon_as_the_graph_changes() -> None:
    policy = small_policy()
    resolver = ObservationResolver(policy, snapshot([ANN]), now_us=NOW_US)
    resolver.resolve(observation("email:ann ip_address:1 phone:-", policy))
    assert not resolver.is_structural
    resolver.resolve(observation("email:ann browser_id:b", policy))
    assert resolver.is_structural


def test_the_edges_of_merges_are_told_with_the_position_of_their_merge() -> None:
    policy = small_policy()
    resolver = ObservationResolver(policy, snapshot([ANN, BEN, CAM]), now_us=NOW_US)
    resolver.resolve(observation("email:ann phone:ben", policy))
    assert resolver.merge_count == 1
    resolver.resolve(observation("email:ann user_id:cam", policy))
    assert [(position, edge.merged) for position, edge in resolver.edges_since(0)] == [(0, 2), (1, 3)]
    assert [(position, edge.merged) for position, edge in resolver.edges_since(1)] == [(1, 3)]


def test_what_is_new_names_the_event_that_brought_it() -> None:
    made = plan_for([ANN], ["email:ann", "email:ann phone:new", "user_id:other"])
    assert [(new.parsed.key, new.observation.ref) for new in made.identifiers] == [
        (("phone", "new"), "e1"),
        (("user_id", "other"), "e2"),
    ]
