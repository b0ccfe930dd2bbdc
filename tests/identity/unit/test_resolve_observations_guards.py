"""What speaks against joining people, or against learning an identifier: the evidence is refused, the event is kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.graphs import (
    NOTHING_ELSE,
    Also,
    Known,
    changes,
    plan_for,
)

ANN, BEN, CAM = Known(1, "email:ann"), Known(2, "phone:ben"), Known(3, "user_id:cam")


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
    "two people who have as many of a type together as one may have become one": (
        [Known(1, "email:a1 email:a2"), Known(2, "phone:ben email:ben")],
        NOTHING_ELSE,
        ["email:a1 phone:ben"],
        {
            "goes_to": [1],
            "merges": [[(1, 2, "1 email:a1", "2 phone:ben")]],
            "absorbed": {2: 1},
            "pairs": [("email:a1", "phone:ben")],
        },
    ),
    "three people who have too many of a type together stay three; the one who came second is named": (
        [Known(1, "email:a1 email:a2"), Known(2, "phone:ben email:ben"), Known(3, "user_id:cam email:cam")],
        NOTHING_ELSE,
        ["email:a1 phone:ben user_id:cam"],
        {
            "goes_to": [3],
            "pairs": [("email:a1", "user_id:cam"), ("phone:ben", "user_id:cam"), ("email:a1", "phone:ben")],
            "refused": [("limit", "email:a1", 3, 1), ("limit", "phone:ben", 3, 2)],
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
    "another person's value counts as one more": (
        [BEN, Known(3, "email:b3")],
        Also(seen_with={"phone:ben": "email:b1 email:b2"}),
        ["phone:ben email:b3"],
        {"goes_to": [3], "shared": ["phone:ben"], "refused": [("shared", "phone:ben", 3, 0)]},
    ),
    "the person's own does not": (
        [Known(2, "phone:ben email:b3", together=5)],
        Also(seen_with={"phone:ben": "email:b1 email:b2"}),
        ["phone:ben email:b3 user_id:new"],
        {
            "goes_to": [2],
            "arrives": {"user_id:new": (2, "email:b3")},
            "pairs": [("phone:ben", "user_id:new")],
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
    assert changes(plan_for(known, events, also)) == expected


def test_what_is_new_and_what_was_seen_together_name_their_event() -> None:
    made = plan_for([], ["email:e1 email:e2 email:e3 email:e4 phone:p"])
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
    made = plan_for([FULL, Known(2, "phone:ben user_id:ben")], ["email:a1 phone:ben email:new"], Also(apart=[(1, 2)]))
    refused = [(one.rule.value, one.key, one.other) for one in made.refusals]
    assert refused == [("never_merge", ("phone", "ben"), 2), ("limit", ("email", "new"), 0)]
    made = plan_for([ANN, BEN, Known(4, "user_id:dan")], ["user_id:dan email:ann phone:ben"], Also(apart=[(4, 1)]))
    refused = [(one.rule.value, one.key, one.other) for one in made.refusals]
    assert refused == [("never_merge", ("email", "ann"), 1), ("never_merge", ("phone", "ben"), 2)]


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
    assert changes(plan_for(known, events)) == expected


def test_what_was_refused_names_its_event() -> None:
    (refusal,) = plan_for([ANN], ["email:ann", "email:ann phone:-"]).refusals
    assert (refusal.ref, refusal.source) == ("e1", "web")
