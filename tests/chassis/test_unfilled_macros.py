"""Macros that nobody filled, and texts that only look like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.unfilled_macros import is_unfilled_macro


@pytest.mark.parametrize(
    "text",
    [
        "{{campaign}}",
        "{{ campaign.id }}",
        "${campaign.id}",
        "%%CAMPAIGN_ID%%",
        "[CAMPAIGN]",
        "__CID__",
        "$CID",
        "<campaign>",
        "{campaign}",
        "#{campaign}",
        "summer_{{region}}_2026",
        "*|CAMPAIGN|*",
        "@@campaign@@",
    ],
)
def test_a_macro_is_one(text: str) -> None:
    assert is_unfilled_macro(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "camp_123",
        "[US] Summer 2026",
        "50% off",
        "A&B <3",
        "price$",
        "__init",
        "{AF2504E0-4F89-11D3-9A0C-0305E82C3301}",
        "[user-8842391]",
        "100%",
        "a__b__c",
        "(retargeting) spring",
    ],
)
def test_an_ordinary_name_is_none(text: str) -> None:
    assert not is_unfilled_macro(text)


@given(st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=80))
def test_letters_and_digits_are_never_a_macro(text: str) -> None:
    assert not is_unfilled_macro(text)
