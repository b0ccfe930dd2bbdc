"""What a policy may say of types of identifiers, what it means if it says nothing, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.identifier_policy import PolicyError, Strength, policy_from_mapping
from dmp_identity.domain.normalisation import Normalisation
from dmp_identity.domain.placeholders import SHAPES

STRONG: dict[str, Any] = {"strength": "strong"}


def problems(mapping: dict[str, Any]) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        policy_from_mapping(mapping)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def problems_of_email(**settings: Any) -> list[str]:  # noqa: ANN401  # settings of the type
    return problems({"types": {"email": STRONG | settings}})


def test_what_a_type_is_if_only_its_strength_is_said() -> None:
    policy = policy_from_mapping({"types": {"email": STRONG, "browser_id": {"strength": "weak"}}})
    assert policy.large_cluster_identifiers == 1000
    email, browser = policy.types["email"], policy.types["browser_id"]
    assert (email.name, email.rank, email.strength, email.strong) == ("email", 0, Strength.STRONG, True)
    assert (browser.name, browser.rank, browser.strength, browser.strong) == ("browser_id", 1, Strength.WEAK, False)
    assert email.normalise == Normalisation(steps=("trim",))
    assert (email.max_length, email.list_name, browser.list_name) == (255, "emails", "browser_ids")
    assert (email.singular, email.show_as_seen, email.refuse_rounded) == (False, False, False)
    assert email.aliases == frozenset()
    assert (email.max_per_profile, email.period_days, email.hub_degree) == (0, 0, 0)
    assert (browser.attribute, browser.adopt_anonymous, browser.assist) == (False, False, False)
    assert (browser.identified_first, browser.max_holders) == (True, 200)


def test_a_type_is_what_its_section_says() -> None:
    section = {
        "strength": "strong",
        "normalise": ["trim", "lower"],
        "max_length": 512,
        "list_name": "mail",
        "singular": True,
        "show_as_seen": True,
        "refuse_rounded": True,
        "aliases": ["E-Mail"],
        "namespaces": {"shop": "s1"},
        "max_per_profile": 1,
        "period_days": 2,
        "hub_degree": 3,
        "attribute": True,
        "adopt_anonymous": True,
        "assist": True,
        "identified_first": False,
        "max_holders": 0,
    }
    policy = policy_from_mapping({"large_cluster_identifiers": 1, "types": {"email": section}})
    kind = policy.types["email"]
    assert policy.large_cluster_identifiers == 1
    assert kind.normalise == Normalisation(steps=("trim", "lower"), namespaces=(("shop", "s1"),))
    assert (kind.max_length, kind.list_name) == (512, "mail")
    assert (kind.singular, kind.show_as_seen, kind.refuse_rounded) == (True, True, True)
    assert (kind.max_per_profile, kind.period_days, kind.hub_degree) == (1, 2, 3)
    assert (kind.attribute, kind.adopt_anonymous, kind.assist) == (True, True, True)
    assert (kind.identified_first, kind.max_holders) == (False, 0)


def test_a_type_is_found_by_its_name_and_by_its_other_names() -> None:
    policy = policy_from_mapping({"types": {"email": STRONG | {"aliases": ["Mail"]}, "phone": STRONG}})
    email = policy.types["email"]
    assert [policy.type_named(name) for name in ("email", "Mail", "mail", "fax")] == [email, email, email, None]


@pytest.mark.parametrize("setting", ["attribute", "adopt_anonymous", "assist"])
def test_who_has_a_value_matters_if_that_decides_anything(setting: str) -> None:
    def attributing(**settings: object) -> bool:
        return policy_from_mapping({"types": {"x": {"strength": "weak", **settings}}}).types["x"].attributing

    assert attributing(**{setting: True})
    assert not attributing(**{setting: False})


def test_values_that_name_nobody_are_those_of_every_type_and_of_the_type() -> None:
    policy = policy_from_mapping(
        {
            "blocked_everywhere": ["Nobody"],
            "placeholder_shapes": ["field_name"],
            "types": {
                "email": STRONG | {"blocked": ["None@x"], "blocked_patterns": ["test.*"], "field_names": ["Mail"]},
                "phone": STRONG | {"placeholder_shapes": ["one_character", "no_letter_or_digit"]},
            },
        }
    )
    email, phone = (policy.types[name].placeholders for name in ("email", "phone"))
    assert email.values == {"nobody", "Nobody", "none@x", "None@x"}
    assert phone.values == {"nobody", "Nobody"}
    assert (email.shapes, phone.shapes) == (("field_name",), ("no_letter_or_digit", "one_character"))
    assert email.field_names == {"email", "mail"}
    assert phone.field_names == {"phone"}
    assert (email.patterns.matches("test 1"), phone.patterns.matches("test 1")) == (True, False)


def test_every_shape_is_looked_for_if_the_policy_names_none() -> None:
    assert policy_from_mapping({"types": {"email": STRONG}}).types["email"].placeholders.shapes == tuple(SHAPES)


SHAPES_ALLOWED = "must be a list of no_letter_or_digit, unfilled_macro, one_character, field_name, email_of_nobody"
WHOLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no type": ({}, ["types must have at least one type"]),
    "types that are no table": ({"types": ["email"]}, ["types must have at least one type"]),
    "a setting that is none": ({"typos": 1, "types": {"email": STRONG}}, ["typos is not a setting"]),
    "both": ({"typos": 1}, ["typos is not a setting", "types must have at least one type"]),
    "a limit of nothing": (
        {"large_cluster_identifiers": 0, "types": {"email": STRONG}},
        ["large_cluster_identifiers must be a whole number of at least 1"],
    ),
    "a limit that is no number": (
        {"large_cluster_identifiers": True, "types": {"email": STRONG}},
        ["large_cluster_identifiers must be a whole number of at least 1"],
    ),
    "blocked values that are no texts": (
        {"blocked_everywhere": [1], "types": {"email": STRONG}},
        ["blocked_everywhere must be a list of texts"],
    ),
    "blocked values that are no list": (
        {"blocked_everywhere": "none", "types": {"email": STRONG}},
        ["blocked_everywhere must be a list of texts"],
    ),
    "a shape that is none": (
        {"placeholder_shapes": ["round"], "types": {"email": STRONG}},
        [f"placeholder_shapes {SHAPES_ALLOWED}"],
    ),
    "a type that is no table": ({"types": {"email": "strong"}}, ["types.email must be a table"]),
    "a name that is none": (
        {"types": {"E-Mail": STRONG}},
        ["types.E-Mail is not a name of lower-case letters, digits and underscores"],
    ),
    "a name that is too long": (
        {"types": {"e" * 65: STRONG}},
        [f"types.{'e' * 65} is not a name of lower-case letters, digits and underscores"],
    ),
    "every problem of every type": (
        {"types": {"email": {"strength": "weird"}, "phone": 3, "fax": STRONG | {"sound": 1}}},
        [
            'types.email.strength must be "strong" or "weak"',
            "types.phone must be a table",
            "types.fax.sound is not a setting",
        ],
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_is_wrong_with_a_policy(case: str) -> None:
    mapping, expected = WHOLE[case]
    assert problems(mapping) == expected


STEPS = "types.email.normalise must be a list of steps"
NAMESPACES = "types.email.namespaces must be names of lower-case letters, digits and underscores, by source"
SECTION: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a number as a text": ({"max_length": "9"}, ["types.email.max_length must be of type int"]),
    "true as a number": ({"hub_degree": True}, ["types.email.hub_degree must be of type int"]),
    "a text as a list": ({"aliases": "mail"}, ["types.email.aliases must be of type list"]),
    "other names that are no texts": ({"aliases": [1]}, ["types.email.aliases must be a list of texts"]),
    "steps that are none": ({"normalise": 5}, [STEPS]),
    "no length": ({"max_length": 0}, ["types.email.max_length must be from 1 to 512"]),
    "a length that no index holds": ({"max_length": 513}, ["types.email.max_length must be from 1 to 512"]),
    "a limit below zero": ({"period_days": -1}, ["types.email: limits must not be negative"]),
    "another limit below zero": ({"max_holders": -1}, ["types.email: limits must not be negative"]),
    "a namespace that is no name": ({"namespaces": {"shop": "S 1"}}, [NAMESPACES]),
    "a namespace that is no text": ({"namespaces": {"shop": 1}}, [NAMESPACES]),
    "namespaces of a weak type": (
        {"strength": "weak", "namespaces": {"shop": "s"}},
        ["types.email.namespaces are for strong types"],
    ),
    "blocked values": ({"blocked": [1]}, ["types.email.blocked must be a list of texts"]),
    "names of the field": ({"field_names": [1]}, ["types.email.field_names must be a list of texts"]),
    "a shape": ({"placeholder_shapes": ["round"]}, [f"types.email.placeholder_shapes {SHAPES_ALLOWED}"]),
    "patterns that are no texts": ({"blocked_patterns": [1]}, ["types.email.blocked_patterns must be a list of texts"]),
    "more patterns than may be": (
        {"blocked_patterns": ["a"] * 101},
        ["types.email.blocked_patterns must have at most 100 patterns"],
    ),
    "patterns that are too much together": (
        {"blocked_patterns": [rf"{number}\pL{{20}}" for number in range(100)]},
        ["types.email.blocked_patterns take too much memory together: fewer or shorter ones are needed"],
    ),
    "patterns that cannot be followed, each": (
        {"blocked_patterns": ["(", "a", "b" * 1001]},
        [
            "types.email.blocked_patterns: '(' is not a regular expression of RE2, or repeats too much",
            f"types.email.blocked_patterns: {'b' * 100!r} must have at most 1000 characters",
        ],
    ),
    "several at once": (
        {"max_length": 0, "hub_degree": -1, "blocked": [1]},
        [
            "types.email.max_length must be from 1 to 512",
            "types.email: limits must not be negative",
            "types.email.blocked must be a list of texts",
        ],
    ),
}


@pytest.mark.parametrize("case", SECTION)
def test_what_is_wrong_with_a_type(case: str) -> None:
    settings, expected = SECTION[case]
    assert problems_of_email(**settings) == expected


def test_as_many_patterns_as_may_be_are_followed() -> None:
    types = {"email": STRONG | {"blocked_patterns": [f"a{n}" for n in range(100)]}}
    assert policy_from_mapping({"types": types}).types["email"].placeholders.patterns.matches("a99")
