"""The specification of matching: given these profiles, this event makes this plan.

`Known(1, "email:ann")` is stored profile 1, at which the e-mail arrived; the events come one after another. See
`tests/identity/graphs.py` for the short forms.
"""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from dmp_identity.domain.plan import Plan
from dmp_identity.domain.resolve_observations import ObservationResolver
from tests.identity.graphs import NOTHING_ELSE, TYPES, Also, Known, changes, observation, small_policy, snapshot

NOW_US = 10_000
ANN, BEN, CAM = Known(1, "email:ann"), Known(2, "phone:ben"), Known(3, "user_id:cam")


def plan(
    known: list[Known], events: list[str], also: Also = NOTHING_ELSE, policy: IdentifierPolicy | None = None
) -> Plan:
    """The plan for some events, one after another."""
    policy = policy or small_policy()
    resolver = ObservationResolver(policy, snapshot(known, also), now_us=NOW_US)
    placed = [resolver.resolve(observation(text, policy, ref=f"e{n}")) for n, text in enumerate(events)]
    made = resolver.plan()
    assert made.placements == placed
    return made


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
    assert changes(plan(known, events)) == expected


def test_an_event_that_shows_nothing_goes_nowhere() -> None:
    assert changes(plan([ANN], [""])) == {"goes_to": [0]}


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
    assert changes(plan(known, events)) == expected


def test_a_merge_tells_what_made_it() -> None:
    (merge,) = plan([ANN, BEN], ["email:ann phone:ben"]).merges
    assert (merge.cause, merge.ref, merge.source, merge.reason) == ("event", "e0", "web", "")


FULL = Known(1, "email:a1 email:a2 email:a3")
GUARDS: dict[str, tuple[list[Known], Also, list[str], dict[str, Any]]] = {
    "people kept apart stay two; the first type says where the event goes": (
        [ANN, BEN],
        Also(apart=[(1, 2)]),
        ["email:ann phone:ben user_id:new"],
        {
            "goes_to": [1],
            "arrives": {"user_id:new": (1, "email:ann")},
            "pairs": [("email:ann", "phone:ben"), ("phone:ben", "user_id:new")],
            "refused": [("never_merge", "phone:ben", 1, 2)],
        },
    ),
    "one pair kept apart keeps all three apart": (
        [ANN, BEN, CAM],
        Also(apart=[(3, 2)]),
        ["email:ann phone:ben user_id:cam"],
        {
            "goes_to": [3],
            "pairs": [("email:ann", "user_id:cam"), ("phone:ben", "user_id:cam"), ("email:ann", "phone:ben")],
            "refused": [("never_merge", "phone:ben", 3, 2), ("never_merge", "email:ann", 3, 1)],
        },
    ),
    "two people with very many identifiers stay two": (
        [ANN, BEN],
        Also(more={1: 1000, 2: 1000}),
        ["email:ann phone:ben"],
        {
            "goes_to": [1],
            "pairs": [("email:ann", "phone:ben")],
            "refused": [("large_clusters", "phone:ben", 1, 2)],
        },
    ),
    "one of them may have very many": (
        [ANN, BEN],
        Also(more={1: 1000, 2: 999}),
        ["email:ann phone:ben"],
        {
            "goes_to": [1],
            "merges": [[(1, 2, "1 email:ann", "2 phone:ben")]],
            "absorbed": {2: 1},
            "pairs": [("email:ann", "phone:ben")],
        },
    ),
    "a person has at most so many values of a type": (
        [FULL],
        NOTHING_ELSE,
        ["email:a1 email:a4 user_id:new"],
        {
            "goes_to": [1],
            "arrives": {"user_id:new": (1, "email:a1")},
            "pairs": [("email:a1", "email:a4"), ("email:a4", "user_id:new")],
            "refused": [("limit", "email:a4", 1, 0)],
        },
    ),
    "two people who have too many of a type together stay two": (
        [FULL, Known(2, "phone:ben email:ben")],
        NOTHING_ELSE,
        ["email:a1 phone:ben"],
        {
            "goes_to": [1],
            "pairs": [("email:a1", "phone:ben")],
            "refused": [("limit", "phone:ben", 1, 2)],
        },
    ),
    "who has too many may still join who has none": (
        [Known(1, "email:a1 email:a2 email:a3 email:a4"), BEN],
        NOTHING_ELSE,
        ["email:a1 phone:ben"],
        {
            "goes_to": [1],
            "merges": [[(1, 2, "1 email:a1", "2 phone:ben")]],
            "absorbed": {2: 1},
            "pairs": [("email:a1", "phone:ben")],
        },
    ),
    "a value that came with too many others of a type is shared, and its event goes on without it": (
        [BEN],
        Also(seen_with={"phone:ben": "email:b1 email:b2"}),
        ["phone:ben email:b3"],
        {
            "goes_to": [-1],
            "created": {-1: "identified"},
            "arrives": {"email:b3": (-1, "")},
            "shared": ["phone:ben"],
            "refused": [("shared", "phone:ben", -1, 0)],
        },
    ),
    "the next event of the batch does not follow it either": (
        [BEN],
        Also(seen_with={"phone:ben": "email:b1 email:b2"}),
        ["phone:ben email:b3", "phone:ben user_id:u"],
        {
            "goes_to": [-1, -2],
            "created": {-1: "identified", -2: "identified"},
            "arrives": {"email:b3": (-1, ""), "user_id:u": (-2, "")},
            "shared": ["phone:ben"],
            "refused": [("shared", "phone:ben", -1, 0), ("shared", "phone:ben", -2, 0)],
        },
    ),
    "others of several types do not add up": (
        [BEN],
        Also(seen_with={"phone:ben": "email:b1 user_id:b2"}),
        ["phone:ben email:b3"],
        {"goes_to": [2], "arrives": {"email:b3": (2, "phone:ben")}},
    ),
    "one that it came with before is not one more": (
        [Known(2, "phone:ben email:b1 email:b2")],
        Also(seen_with={"phone:ben": "email:b1 email:b2"}),
        ["phone:ben email:b1"],
        {"goes_to": [2], "pairs": [("email:b1", "phone:ben")]},
    ),
    "a shared value matches nobody": (
        [BEN],
        Also(shared="phone:ben"),
        ["phone:ben email:new"],
        {
            "goes_to": [-1],
            "created": {-1: "identified"},
            "arrives": {"email:new": (-1, "")},
            "refused": [("shared", "phone:ben", -1, 0)],
        },
    ),
    "alone it has an anonymous profile": (
        [BEN],
        Also(shared="phone:ben"),
        ["phone:ben", "phone:ben"],
        {
            "goes_to": [-1, -1],
            "created": {-1: "anonymous"},
            "anonymous": {"phone:ben": -1},
            "refused": [("shared", "phone:ben", -1, 0)] * 2,
        },
    ),
}


@pytest.mark.parametrize("case", GUARDS)
def test_guards_refuse_evidence_and_keep_the_event(case: str) -> None:
    known, also, events, expected = GUARDS[case]
    assert changes(plan(known, events, also)) == expected


def test_what_is_new_and_what_was_seen_together_name_their_event() -> None:
    made = plan([], ["email:e1 email:e2 email:e3 email:e4 phone:p"])
    assert {new.observation.ref for new in made.identifiers} == {"e0"}
    assert {seen.ref for seen in made.pairs.values()} == {"e0"}
    # The fourth e-mail is above the limit; it was seen with all the others.
    assert changes(made) == {
        "goes_to": [-1],
        "created": {-1: "identified"},
        "arrives": dict.fromkeys(("email:e1", "email:e2", "email:e3", "phone:p"), (-1, "")),
        "pairs": [
            ("email:e1", "email:e4"),
            ("email:e2", "email:e4"),
            ("email:e3", "email:e4"),
            ("email:e4", "phone:p"),
        ],
        "refused": [("limit", "email:e4", -1, 0)],
    }


def test_a_refused_event_lists_each_identifier_that_is_not_its_person_s() -> None:
    made = plan([FULL, Known(2, "phone:ben user_id:ben")], ["email:a1 phone:ben email:new"], Also(apart=[(1, 2)]))
    refused = [(one.rule.value, one.key, one.other) for one in made.refusals]
    assert refused == [("never_merge", ("phone", "ben"), 2), ("limit", ("email", "new"), 0)]
    made = plan([ANN, BEN, Known(4, "user_id:dan")], ["user_id:dan email:ann phone:ben"], Also(apart=[(4, 1)]))
    refused = [(one.rule.value, one.key, one.other) for one in made.refusals]
    assert refused == [("never_merge", ("email", "ann"), 1), ("never_merge", ("phone", "ben"), 2)]


WEAK: dict[str, tuple[list[Known], Also, list[str], dict[str, Any]]] = {
    "a browser nobody has gets an anonymous profile, once": (
        [],
        NOTHING_ELSE,
        ["browser_id:b", "browser_id:b"],
        {
            "goes_to": [-1, -1],
            "created": {-1: "anonymous"},
            "links": [("browser_id:b", -1)],
            "anonymous": {"browser_id:b": -1},
        },
    ),
    "a browser of one person says who it is": (
        [Known(1, "email:ann", "browser_id:b")],
        NOTHING_ELSE,
        ["browser_id:b ip_address:1"],
        {"goes_to": [1], "unchecked_links": [("ip_address:1", 1)]},
    ),
    "a browser of one person goes to the profile made first": (
        [Known(4, "email:ann"), Known(6, "", "browser_id:b", of=4), Known(5, "", "browser_id:b", of=4)],
        NOTHING_ELSE,
        ["browser_id:b"],
        {"goes_to": [5]},
    ),
    "the only identified one of several owns it": (
        [Known(1, "", "browser_id:b"), Known(2, "email:ann", "browser_id:b")],
        NOTHING_ELSE,
        ["browser_id:b"],
        {"goes_to": [2]},
    ),
    "a browser of several identified people goes to its anonymous profile": (
        [Known(1, "email:ann", "browser_id:b"), Known(2, "phone:ben", "browser_id:b"), Known(3, "", "browser_id:b")],
        Also(anonymous={"browser_id:b": 3}),
        ["browser_id:b"],
        {"goes_to": [3]},
    ),
    "the next one decides if the first one says nobody": (
        [
            Known(1, "email:ann", "browser_id:b device_id:d"),
            Known(2, "phone:ben", "browser_id:b"),
        ],
        NOTHING_ELSE,
        ["browser_id:b device_id:d"],
        {"goes_to": [1]},
    ),
    "a browser that too many have says nothing, and more of it is not looked up": (
        [Known(n, f"user_id:u{n}" if n == 4 else "", "browser_id:b") for n in range(1, 5)],
        NOTHING_ELSE,
        ["browser_id:b"],
        {
            "goes_to": [-1],
            "created": {-1: "anonymous"},
            "unchecked_links": [("browser_id:b", -1)],
            "anonymous": {"browser_id:b": -1},
        },
    ),
    "an address attributes nothing": (
        [Known(1, "email:ann", "ip_address:1")],
        NOTHING_ELSE,
        ["ip_address:1"],
        {
            "goes_to": [-1],
            "created": {-1: "anonymous"},
            "unchecked_links": [("ip_address:1", -1)],
            "anonymous": {"ip_address:1": -1},
        },
    ),
    "who identifies adopts the anonymous profile of the browser": (
        [Known(1, "", "browser_id:b")],
        NOTHING_ELSE,
        ["browser_id:b email:ann"],
        {"goes_to": [1], "arrives": {"email:ann": (1, "browser_id:b")}, "identified": {1}},
    ),
    "the person of the anonymous profile is identified, too": (
        [Known(1), Known(2, "", "browser_id:b", of=1)],
        NOTHING_ELSE,
        ["browser_id:b email:ann"],
        {"goes_to": [2], "arrives": {"email:ann": (2, "browser_id:b")}, "identified": {1, 2}},
    ),
    "nobody adopts an identified person's browser": (
        [Known(1, "email:ann", "browser_id:b")],
        NOTHING_ELSE,
        ["browser_id:b email:bob"],
        {
            "goes_to": [-1],
            "created": {-1: "identified"},
            "arrives": {"email:bob": (-1, "")},
            "links": [("browser_id:b", -1)],
        },
    ),
    "a device assists: what is new belongs to its person, who has none of that type": (
        [Known(1, "email:ann", "device_id:d")],
        NOTHING_ELSE,
        ["device_id:d phone:new"],
        {"goes_to": [1], "arrives": {"phone:new": (1, "device_id:d")}},
    ),
    "but not if the person has another value of the type": (
        [Known(1, "email:ann phone:ann", "device_id:d")],
        NOTHING_ELSE,
        ["device_id:d phone:new"],
        {
            "goes_to": [-1],
            "created": {-1: "identified"},
            "arrives": {"phone:new": (-1, "")},
            "links": [("device_id:d", -1)],
        },
    ),
    "a device does not assist an anonymous person": (
        [Known(1, "", "device_id:d")],
        NOTHING_ELSE,
        ["device_id:d phone:new"],
        {
            "goes_to": [-1],
            "created": {-1: "identified"},
            "arrives": {"phone:new": (-1, "")},
            "links": [("device_id:d", -1)],
        },
    ),
    "an anonymous profile made in the batch is adopted in it": (
        [],
        NOTHING_ELSE,
        ["browser_id:b", "browser_id:b email:ann", "browser_id:b"],
        {
            "goes_to": [-1, -1, -1],
            "created": {-1: "identified"},
            "arrives": {"email:ann": (-1, "browser_id:b")},
            "links": [("browser_id:b", -1)],
            "anonymous": {"browser_id:b": -1},
        },
    ),
    "an anonymous profile whose person is identified is in force no more": (
        [Known(1, "email:ann"), Known(2, "phone:ben", "browser_id:b"), Known(3, "user_id:c", "browser_id:b")],
        Also(anonymous={"browser_id:b": 3}),
        ["browser_id:b"],
        {
            "goes_to": [-1],
            "created": {-1: "anonymous"},
            "links": [("browser_id:b", -1)],
            "anonymous": {"browser_id:b": -1},
        },
    ),
    "who is known gets the browser": (
        [ANN, Known(2, "", "browser_id:b")],
        NOTHING_ELSE,
        ["email:ann browser_id:b", "browser_id:b"],
        {"goes_to": [1, 1], "links": [("browser_id:b", 1)]},
    ),
    "a weak link is told once": (
        [ANN],
        NOTHING_ELSE,
        ["email:ann ip_address:1", "email:ann ip_address:1"],
        {"goes_to": [1, 1], "unchecked_links": [("ip_address:1", 1)]},
    ),
}


@pytest.mark.parametrize("case", WEAK)
def test_weak_identifiers_never_merge(case: str) -> None:
    known, also, events, expected = WEAK[case]
    assert changes(plan(known, events, also)) == expected


REFUSED: dict[str, tuple[list[Known], list[str], dict[str, Any]]] = {
    "a placeholder is listed, and the event goes by the rest": (
        [ANN],
        ["email:ann phone:-"],
        {"goes_to": [1], "refused": [("no_letter_or_digit", "phone:-", 1, 0)]},
    ),
    "alone it has an anonymous profile": (
        [],
        ["phone:-", "phone:-"],
        {
            "goes_to": [-1, -1],
            "created": {-1: "anonymous"},
            "anonymous": {"phone:-": -1},
            "refused": [("no_letter_or_digit", "phone:-", -1, 0)] * 2,
        },
    ),
    "beside a browser it decides nothing": (
        [],
        ["phone:- browser_id:b"],
        {
            "goes_to": [-1],
            "created": {-1: "anonymous"},
            "links": [("browser_id:b", -1)],
            "anonymous": {"browser_id:b": -1},
            "refused": [("no_letter_or_digit", "phone:-", -1, 0)],
        },
    ),
    "a type that the policy does not know is listed": (
        [ANN],
        ["email:ann shoe:42"],
        {"goes_to": [1], "refused": [("unknown_type", "shoe:42", 1, 0)]},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_identifiers_are_listed(case: str) -> None:
    known, events, expected = REFUSED[case]
    assert changes(plan(known, events)) == expected


def test_what_was_refused_names_its_event() -> None:
    (refusal,) = plan([ANN], ["email:ann", "email:ann phone:-"]).refusals
    assert (refusal.ref, refusal.source) == ("e1", "web")


def test_new_profiles_are_made_at_the_time_of_the_batch() -> None:
    assert [profile.created_at_us for profile in plan([], ["email:ann", "browser_id:b"]).profiles] == [NOW_US, NOW_US]


def test_links_that_were_there_are_told() -> None:
    made = plan([Known(1, "email:ann", "browser_id:b")], ["email:ann browser_id:b"])
    assert (made.links, made.links_seen) == ([], {(("browser_id", "b"), 1)})


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


def test_a_policy_without_identified_first_gives_a_browser_of_two_people_to_nobody() -> None:
    types = {**TYPES, "browser_id": {**TYPES["browser_id"], "identified_first": False}}
    known = [Known(1, "", "browser_id:b"), Known(2, "email:ann", "browser_id:b")]
    made = plan(known, ["browser_id:b"], policy=policy_from_mapping({"types": types}))
    assert made.placements == [-1]
