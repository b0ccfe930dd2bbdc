"""What weak identifiers decide: where an event goes that shows nothing strong, and whose a new identifier is.

The cases read as in `test_resolve_observations.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.identifier_policy import policy_from_mapping
from tests.identity.graphs import (
    NOTHING_ELSE,
    TYPES,
    Also,
    Known,
    changes,
    plan_for,
)

ANN = Known(1, "email:ann")


def somebody_new(strong: str, weak: str) -> dict[str, Any]:
    """What changes if a strong identifier is somebody's whom nobody knew, who has the weak one, too."""
    return {
        "goes_to": [-1],
        "created": {-1: "identified"},
        "arrives": {strong: (-1, "")},
        "links": [(weak, -1)],
    }


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
    "one more, and it says nothing": (
        [Known(1, "email:ann", "browser_id:b"), *(Known(n, "", "browser_id:b", of=1) for n in (2, 3, 4)), Known(5)],
        Also(anonymous={"browser_id:b": 5}),
        ["browser_id:b"],
        {"goes_to": [5], "unchecked_links": [("browser_id:b", 5)]},
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
        somebody_new("email:bob", "browser_id:b"),
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
        somebody_new("phone:new", "device_id:d"),
    ),
    "a device does not assist an anonymous person": (
        [Known(1, "", "device_id:d")],
        NOTHING_ELSE,
        ["device_id:d phone:new"],
        somebody_new("phone:new", "device_id:d"),
    ),
    "nor if one of several that are new is of a type that the person has": (
        [Known(1, "email:ann phone:ann", "device_id:d")],
        NOTHING_ELSE,
        ["device_id:d phone:new user_id:new"],
        {
            "goes_to": [-1],
            "created": {-1: "identified"},
            "arrives": {"user_id:new": (-1, ""), "phone:new": (-1, "")},
            "links": [("device_id:d", -1)],
        },
    ),
    "the first device that has an identified owner assists": (
        [Known(1, "", "device_id:d1"), Known(2, "email:ann", "device_id:d2")],
        NOTHING_ELSE,
        ["device_id:d1 device_id:d2 phone:new"],
        {"goes_to": [2], "arrives": {"phone:new": (2, "device_id:d2")}, "links": [("device_id:d1", 2)]},
    ),
    "the first browser that has an anonymous owner is adopted": (
        [Known(1, "email:ann", "browser_id:b1"), Known(2, "", "browser_id:b2")],
        NOTHING_ELSE,
        ["browser_id:b1 browser_id:b2 phone:new"],
        {
            "goes_to": [2],
            "arrives": {"phone:new": (2, "browser_id:b2")},
            "links": [("browser_id:b1", 2)],
            "identified": {2},
        },
    ),
    "adopting comes before assisting": (
        [Known(1, "email:ann", "device_id:d"), Known(2, "", "browser_id:b")],
        NOTHING_ELSE,
        ["device_id:d browser_id:b phone:new"],
        {
            "goes_to": [2],
            "arrives": {"phone:new": (2, "browser_id:b")},
            "links": [("device_id:d", 2)],
            "identified": {2},
        },
    ),
    "what many share and a browser go to the anonymous profile of the browser": (
        [ANN],
        Also(shared="email:ann"),
        ["email:ann browser_id:b phone:-"],
        {
            "goes_to": [-1],
            "created": {-1: "anonymous"},
            "links": [("browser_id:b", -1)],
            "anonymous": {"browser_id:b": -1},
            "refused": [("no_letter_or_digit", "phone:-", -1, 0), ("shared", "email:ann", -1, 0)],
        },
    ),
    "a placeholder decides before what many share": (
        [ANN],
        Also(shared="email:ann"),
        ["email:ann phone:-"],
        {
            "goes_to": [-1],
            "created": {-1: "anonymous"},
            "anonymous": {"phone:-": -1},
            "refused": [("no_letter_or_digit", "phone:-", -1, 0), ("shared", "email:ann", -1, 0)],
        },
    ),
    "a browser that as many have as may still says who it is": (
        [Known(1, "email:ann", "browser_id:b"), *(Known(n, "", "browser_id:b", of=1) for n in (2, 3))],
        NOTHING_ELSE,
        ["browser_id:b"],
        {"goes_to": [1]},
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
    assert changes(plan_for(known, events, also)) == expected


def test_links_that_were_there_are_told() -> None:
    made = plan_for([Known(1, "email:ann", "browser_id:b")], ["email:ann browser_id:b"])
    assert (made.links, made.links_seen) == ([], {(("browser_id", "b"), 1)})


def test_a_policy_without_identified_first_gives_a_browser_of_two_people_to_nobody() -> None:
    types = {**TYPES, "browser_id": {**TYPES["browser_id"], "identified_first": False}}
    known = [Known(1, "", "browser_id:b"), Known(2, "email:ann", "browser_id:b")]
    made = plan_for(known, ["browser_id:b"], policy=policy_from_mapping({"types": types}))
    assert made.placements == [-1]
