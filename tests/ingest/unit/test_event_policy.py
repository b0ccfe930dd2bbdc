"""What a policy may say, and what it then means. Each contradiction is named by its entry in the file."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_ingest.domain.event_policy import EventPolicy, PolicyError, event_policy

CHOICES: dict[str, Any] = {
    "known_types": ["impression", "click", "view"],
    "types_by_count": {"impression": ["impression"], "click": ["click"]},
    "identifier_lengths": {"user_id": 255, "email": 320, "ip_address": 64},
    "identifier_aliases": {"ip": "ip_address"},
    "text_only_identifiers": ["email"],
    "max_ahead_seconds": 3,
    "max_activity_skew_seconds": 2,
    "max_events_per_request": 4,
    "max_body_bytes": 5,
    "max_metadata_bytes": 6,
    "max_metadata_depth": 7,
    "flag_unfilled_macros": True,
}


def test_a_policy_says_what_its_choices_say() -> None:
    assert event_policy(**CHOICES) == EventPolicy(
        counts_as={"impression": 1, "click": 2, "view": 0},
        identifier_names={"user_id": "user_id", "email": "email", "ip_address": "ip_address", "ip": "ip_address"},
        identifier_lengths={"user_id": 255, "email": 320, "ip_address": 64},
        text_only_identifiers=frozenset({"email"}),
        max_ahead_us=3_000_000,
        max_activity_skew_us=2_000_000,
        max_events_per_request=4,
        max_body_bytes=5,
        max_metadata_bytes=6,
        max_metadata_depth=7,
        flag_unfilled_macros=True,
    )


def test_several_types_may_count_as_one() -> None:
    policy = event_policy(**{**CHOICES, "types_by_count": {"click": ["click", "view"]}})
    assert policy.counts_as == {"impression": 0, "click": 2, "view": 2}


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        (
            {"types_by_count": {"sale": ["view"]}},
            "event_types.counts_as.sale: statistics count impression and click only",
        ),
        (
            {"types_by_count": {"click": ["tap"]}},
            "event_types.counts_as.click: tap is unknown or counts as something else already",
        ),
        (
            {"types_by_count": {"impression": ["view"], "click": ["view"]}},
            "event_types.counts_as.click: view is unknown or counts as something else already",
        ),
        (
            {"identifier_aliases": {"mail": "e-mail"}},
            "identifiers.aliases.mail: must be a new name for one of user_id, email, ip_address",
        ),
        (
            {"identifier_aliases": {"email": "user_id"}},
            "identifiers.aliases.email: must be a new name for one of user_id, email, ip_address",
        ),
        (
            {"identifier_lengths": {"email": 320, "ip_address": 64}},
            "identifiers.max_length: user_id must be there, an event's own user id is one",
        ),
        ({"text_only_identifiers": ["email", "fax"]}, "identifiers.text_only: fax is not a known type"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(choices: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyError) as raised:
        event_policy(**{**CHOICES, **choices})
    assert str(raised.value) == problem
