"""Page tokens: they come back as they went, and any other text is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.page_token import number_of, number_token, position_of, token_of

POSITIONS = st.tuples(st.integers(-(2**63), 2**63 - 1), st.text())


@given(POSITIONS)
def test_a_token_is_text_for_urls_and_names_its_position(position: tuple[int, str]) -> None:
    token = token_of(position)
    assert re.fullmatch("[A-Za-z0-9_-]*", token)
    assert position_of(token, tuple[int, str]) == position


@given(st.text())
def test_a_text_alone_is_a_position_too(text: str) -> None:
    assert position_of(token_of(text), str) == text


@pytest.mark.parametrize(
    "token",
    [
        "", "!", "ä", "a", "\0", "====", "AA==", token_of([1]), token_of(["a", 1]), token_of([1, "a", 2]),
        token_of({"a": 1}), token_of([2**63, "a"]) + "x", token_of([1, "a"]) + "\n", "W10", "bnVsbA",
    ],
)  # fmt: skip
def test_what_is_no_token_of_this_kind_is_none(token: str) -> None:
    assert position_of(token, tuple[int, str]) is None


@given(st.binary(), st.text())
def test_any_text_is_answered(data: bytes, text: str) -> None:
    for token in (text, data.hex(), data.decode("latin-1")):
        position_of(token, tuple[int, str])
        number_of(token)


@given(st.integers(-(10**12) + 1, 10**12 - 1))
def test_a_number_is_its_own_token(number: int) -> None:
    assert number_token(number) == str(number)
    assert number_of(number_token(number)) == number


def test_the_end_has_no_token() -> None:
    assert number_token(None) == ""


@pytest.mark.parametrize("token", ["", "-", "x", "1.0", "٣", "--1", "1 ", "1234567890123", "1\n"])
def test_what_is_no_number_is_none(token: str) -> None:
    assert number_of(token) is None
