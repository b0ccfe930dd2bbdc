"""Which rules stored keys were made by, and which are to be registered."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from dmp_identity.domain.key_rules import (
    UNNUMBERED,
    KeyRules,
    StoredRules,
    key_rules,
    rules_to_register,
    unnumbered_rules,
)
from dmp_identity.domain.normalisation import Normalisation


def policy(**normalise: Any) -> IdentifierPolicy:  # noqa: ANN401  # steps, or a name of before
    """A policy with these types and their rules."""
    return policy_from_mapping(
        {"types": {name: {"strength": "strong", "normalise": steps} for name, steps in normalise.items()}}
    )


def rules(number: int, text: str, *, in_use: bool = True, of: str = "email") -> StoredRules:
    """Stored rules."""
    return StoredRules(type=of, number=number, text=text, in_use=in_use)


@pytest.mark.parametrize(
    ("name", "steps", "text"),
    [
        # One single rule is taken not to have changed.
        ("email", ("trim",), "trim"),
        ("email", ("trim", "lower"), "trim lower"),
        ("email", ("trim", "nfkc", "lower"), "trim lower"),
        ("phone", ("nfkc",), "trim separators"),
        ("user_id", ("nfkc",), "trim"),
        ("wallet_address", ("nfkc",), "trim hex_lower"),
        ("browser_id", ("nfkc",), "trim"),
        ("ip_address", ("nfkc",), "trim ip"),
        ("other", ("nfkc",), "trim"),
    ],
)
def test_the_rules_of_before_keys_had_numbers(name: str, steps: tuple[str, ...], text: str) -> None:
    assert unnumbered_rules(name, Normalisation(steps=steps, namespaces=(("s", "n"),))) == text


@pytest.mark.parametrize("keys_stored", [True, False])
def test_a_new_type_with_a_single_rule_registers_just_that(keys_stored: bool) -> None:
    types = ["email"] if keys_stored else []
    assert rules_to_register(policy(email="lower_case"), [], types) == [rules(UNNUMBERED, "trim lower")]


@pytest.mark.parametrize("keys_stored", [True, False])
def test_a_new_type_with_more_rules_registers_those_of_before_too(keys_stored: bool) -> None:
    types = ["email"] if keys_stored else ["phone"]
    assert rules_to_register(policy(email=["trim", "nfkc", "lower"]), [], types) == [
        rules(0, "trim lower", in_use=keys_stored),
        rules(1, "trim nfkc lower"),
    ]


def test_known_rules_in_use_need_nothing() -> None:
    stored = [rules(0, "trim lower", in_use=False), rules(3, "trim nfkc lower")]
    assert rules_to_register(policy(email=["trim", "nfkc", "lower"]), stored, ["email"]) == []


def test_known_rules_come_into_use_again() -> None:
    stored = [rules(0, "trim lower"), rules(3, "trim nfkc lower", in_use=False)]
    assert rules_to_register(policy(email=["trim", "nfkc", "lower"]), stored, []) == [rules(3, "trim nfkc lower")]


def test_new_rules_get_the_next_number() -> None:
    stored = [rules(4, "trim"), rules(2, "trim lower"), rules(9, "ip", of="phone")]
    assert rules_to_register(policy(email="nfkc"), stored, []) == [rules(5, "nfkc")]


def test_each_type_has_its_own() -> None:
    given = policy(email="lower_case", phone="trimmed")
    assert rules_to_register(given, [rules(0, "trim lower")], []) == [rules(0, "trim", of="phone")]


def test_a_parser_gets_its_rules_and_all_others() -> None:
    stored = [
        rules(2, "trim lower"),
        rules(1, "trim", in_use=False),
        rules(0, "nfkc"),
        rules(3, "gone", in_use=True),
        rules(7, "trim", of="phone"),
    ]
    assert key_rules(policy(email="lower_case", phone="trimmed", user_id="trimmed"), stored) == {
        "email": KeyRules(
            number=2,
            others=((0, Normalisation(steps=("nfkc",))), (1, Normalisation(steps=("trim",)))),
            in_use=frozenset({0, 3}),
        ),
        "phone": KeyRules(number=7),
        "user_id": KeyRules(),
    }


def test_other_rules_are_found_by_their_number() -> None:
    trim = Normalisation(steps=("trim",))
    known = KeyRules(number=2, others=((0, trim),))
    assert known.of(0) == trim
    assert known.of(2) is None
