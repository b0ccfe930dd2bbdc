"""Public ids: one spelling for each number, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.profile_id import profile_id_from_public, public_id

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "user_1"), (35, "user_z"), (36, "user_10"), (36 * 36 + 35, "user_10z"), (LARGEST, "user_1y2p0ij32e8e7")],
)
def test_a_number_is_written_in_base_36(number: int, text: str) -> None:
    assert public_id(number) == text
    assert profile_id_from_public(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "user_", "1", "user_0", "user_01", "USER_1", "user_A", " user_1", "user_1 ", "user_-1", "user_1y2p0ij32e8e8"],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert profile_id_from_public(text) is None


def test_an_id_is_never_longer_than_a_number_can_be() -> None:
    assert profile_id_from_public("user_" + "1" * 13) == int("1" * 13, 36)
    assert profile_id_from_public("user_" + "1" * 14) is None


@given(st.integers(1, LARGEST))
def test_every_number_is_read_back(number: int) -> None:
    assert profile_id_from_public(public_id(number)) == number
