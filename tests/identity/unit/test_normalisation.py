"""The rules of comparison as a policy names them, and as they are stored beside keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.normalisation import (
    LONGEST_TEXT,
    NAMES_BEFORE,
    STEPS,
    Normalisation,
    normalisation_from_names,
    normalisation_from_text,
)

SHOPS = Normalisation(steps=("trim",), namespaces=(("shop a", "a"), ("web", "w")))


@pytest.mark.parametrize(
    ("given_names", "steps"),
    [
        (["trim", "lower"], ("trim", "lower")),
        (("lower", "trim"), ("lower", "trim")),
        ("trim", ("trim",)),
        *NAMES_BEFORE.items(),
    ],
)
def test_a_policy_names_steps_or_a_name_of_before(given_names: object, steps: tuple[str, ...]) -> None:
    assert normalisation_from_names(given_names) == Normalisation(steps=steps)


@pytest.mark.parametrize(
    ("given_names", "problem"),
    [
        (5, "must be a list of steps"),
        (None, "must be a list of steps"),
        ([], "must have 1 to 32 steps"),
        (["trim"] * 33, "must have 1 to 32 steps"),
        (["upper"], f"must be a list of steps among {', '.join(STEPS)}, or one of {', '.join(NAMES_BEFORE)}"),
        ("upper", f"must be a list of steps among {', '.join(STEPS)}, or one of {', '.join(NAMES_BEFORE)}"),
        (["trim", 5], f"must be a list of steps among {', '.join(STEPS)}, or one of {', '.join(NAMES_BEFORE)}"),
    ],
)
def test_what_is_no_list_of_steps_is_told(given_names: object, problem: str) -> None:
    assert normalisation_from_names(given_names) == problem


def test_thirty_two_steps_are_allowed() -> None:
    assert normalisation_from_names(["trim"] * 32) == Normalisation(steps=("trim",) * 32)


def test_namespaces_are_kept_in_order_of_their_sources() -> None:
    made = normalisation_from_names("trim", {"web": "w", "shop a": "a"})
    assert made == SHOPS


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a:42", ("a", "42")),
        ("w:4:2", ("w", "4:2")),
        ("x:42", ("", "x:42")),
        ("42", ("", "42")),
        ("a", ("", "a")),
        ("a:", ("a", "")),
        ("", ("", "")),
    ],
)
def test_a_namespace_before_a_value_is_told_from_the_value(text: str, parts: tuple[str, str]) -> None:
    assert SHOPS.split(text) == parts
    assert Normalisation(steps=("trim",)).split(text) == ("", text)


def test_a_source_s_value_gets_its_namespace() -> None:
    assert SHOPS.qualified("shop a", "42") == "a:42"
    assert SHOPS.qualified("elsewhere", "42") == "42"


def test_rules_are_stored_as_a_text() -> None:
    assert SHOPS.text == "trim @shop%20a=a @web=w"
    assert Normalisation(steps=("trim", "lower")).text == "trim lower"
    assert normalisation_from_text(SHOPS.text) == SHOPS
    assert normalisation_from_text("trim lower") == Normalisation(steps=("trim", "lower"))
    assert normalisation_from_text("trim upper") is None
    assert normalisation_from_text("trim/2") is None


STEP_LISTS = st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=8)
SPACES = st.dictionaries(st.text(max_size=8), st.from_regex("[a-z][a-z0-9_]{0,5}", fullmatch=True), max_size=3)


@given(steps=STEP_LISTS, spaces=SPACES)
def test_every_rules_text_is_read_back(steps: list[str], spaces: dict[str, str]) -> None:
    made = normalisation_from_names(steps, spaces)
    assert isinstance(made, Normalisation)
    assert normalisation_from_text(made.text) == made


def test_steps_are_repeated_until_nothing_changes() -> None:
    rules = Normalisation(steps=("trim", "email_address"))
    assert rules.key(" mailto: <mailto:a@b.com> ") == "a@b.com"
    assert rules.key("") == ""


def test_the_longest_text_that_is_looked_at() -> None:
    assert LONGEST_TEXT == 2048
