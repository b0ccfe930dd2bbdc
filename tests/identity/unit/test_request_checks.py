"""What several requests have in common: what is wrong with ids, reasons, values and pages."""

from __future__ import annotations

import pytest

from dmp_chassis.page_token import token_of
from dmp_identity.domain.errors import ProfileNotFoundError
from dmp_identity.domain.request_checks import (
    page_size_violations,
    profile_id_asked_for,
    reason_violations,
    timeline_position,
    timeline_token,
    token_violation,
    unusable_value,
)


def test_a_public_id_names_a_profile() -> None:
    assert profile_id_asked_for("user_7") == 7
    with pytest.raises(ProfileNotFoundError) as raised:
        profile_id_asked_for("7")
    assert raised.value.internal_user_id == "7"


@pytest.mark.parametrize(
    ("reason", "required", "problem"),
    [
        ("seen at the desk", True, ""),
        ("", False, ""),
        ("", True, "is required"),
        (" \n", True, "is required"),
        ("x" * 1000, True, ""),
        ("x" * 1001, False, "must have at most 1000 characters"),
        ("a\0", False, "must not have NUL characters"),
    ],
)
def test_a_reason(reason: str, required: bool, problem: str) -> None:
    found = [(one.field, one.description) for one in reason_violations(reason, required=required)]
    assert found == ([("reason", problem)] if problem else [])


def test_a_page_may_have_any_size_but_a_negative_one() -> None:
    assert page_size_violations(0) == page_size_violations(10**9) == []
    (one,) = page_size_violations(-1)
    assert (one.field, one.description) == ("page_size", "must not be negative")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", ""),
        ("x" * 1024, ""),
        ("x" * 1025, "must have at most 1024 characters"),
        ("a\0", "must not have NUL characters"),
    ],
)
def test_a_value_that_nobody_can_have(value: str, problem: str) -> None:
    assert unusable_value(value) == problem


@pytest.mark.parametrize("position", [(0, "e"), (-(2**63), ""), (2**63 - 1, "ü" * 255)])
def test_a_token_of_a_timeline_names_its_position(position: tuple[int, str]) -> None:
    assert timeline_position(timeline_token(position)) == position


def test_no_token_is_the_beginning() -> None:
    assert timeline_position("") == (-(2**63), "")


@pytest.mark.parametrize(
    "token",
    ["x", timeline_token((2**63, "e")), timeline_token((-(2**63) - 1, "e")), timeline_token((0, "a\0")), token_of(5)],
)
def test_a_token_of_others_has_no_position(token: str) -> None:
    assert timeline_position(token) is None
    assert token_violation().field == "page_token"
    assert token_violation("other").field == "other"
