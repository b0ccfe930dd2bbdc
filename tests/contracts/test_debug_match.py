"""CONTRACT 2: `GET /debug/match`."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.answers import assert_error, match, person_of, user
from tests.contracts.payloads import fresh, fresh_email, fresh_phone, identified_event


@pytest.mark.parametrize(
    ("kind", "strength"),
    [
        ("email", "strong"),
        ("phone", "strong"),
        ("wallet_address", "strong"),
        ("user_id", "strong"),
        ("browser_id", "weak"),
    ],
)
def test_a_match_tells_the_person_and_how_the_value_was_read(api: httpx.Client, kind: str, strength: str) -> None:
    value = fresh_email() if kind == "email" else fresh_phone() if kind == "phone" else fresh("value")
    profile = person_of(api, identified_event(identifiers={kind: value, "browser_id": fresh("b")} | {kind: value}))
    found = match(api, kind, value)
    assert found["internal_user_id"] == profile
    assert found["identifiers"] == user(api, profile)["identifiers"]
    expected = {"identifier": kind, "value": value, "normalized": value, "strength": strength}
    assert {name: found["match"][name] for name in expected} == expected
    assert not found.get("candidates")


def test_the_value_is_repeated_as_it_was_given(api: httpx.Client) -> None:
    email = fresh_email()
    person_of(api, identified_event(identifiers={"email": email}))
    found = match(api, "email", f" {email.upper()} ")["match"]
    assert found["value"].strip() == email.upper()
    assert found["normalized"] == email


def test_a_phone_number_with_a_plus_is_found(api: httpx.Client) -> None:
    phone = fresh_phone()
    profile = person_of(api, identified_event(identifiers={"phone": phone}))
    assert match(api, "phone", phone)["internal_user_id"] == profile


def test_an_old_identifier_matches_the_survivor(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    survivor = person_of(api, identified_event(identifiers={"email": email}))
    person_of(api, identified_event(identifiers={"phone": phone}))
    person_of(api, identified_event(identifiers={"phone": phone, "email": email}))
    assert match(api, "phone", phone)["internal_user_id"] == survivor


def test_a_weak_identifier_of_several_profiles_lists_the_candidates(api: httpx.Client) -> None:
    browser = fresh("browser")
    owners = [
        person_of(api, identified_event(identifiers={"email": fresh_email(), "browser_id": browser})) for _ in range(3)
    ]
    found = match(api, "browser_id", browser)
    assert sorted(found["candidates"]) == sorted(owners)
    assert found["internal_user_id"] in owners
    anonymous = person_of(api, identified_event(identifiers={"browser_id": browser}))
    assert sorted(match(api, "browser_id", browser)["candidates"]) == sorted([*owners, anonymous])


def test_candidates_that_became_one_person_are_candidates_no_longer(api: httpx.Client) -> None:
    browser, email, phone = fresh("browser"), fresh_email(), fresh_phone()
    owner = person_of(api, identified_event(identifiers={"email": email, "browser_id": browser}))
    person_of(api, identified_event(identifiers={"phone": phone, "browser_id": browser}))
    assert len(match(api, "browser_id", browser)["candidates"]) == 2
    person_of(api, identified_event(identifiers={"email": email, "phone": phone}))
    found = match(api, "browser_id", browser)
    assert found["internal_user_id"] == owner
    assert not found.get("candidates")


@pytest.mark.parametrize("kind", ["email", "phone", "wallet_address", "user_id", "browser_id"])
def test_no_match_is_not_found(api: httpx.Client, kind: str) -> None:
    response = api.get("/debug/match", params={"identifier": kind, "value": fresh("nobody")})
    assert_error(response, 404, "NOT_FOUND")


def test_looking_somebody_up_changes_nothing(api: httpx.Client) -> None:
    email = fresh_email()
    for _ in range(2):
        assert api.get("/debug/match", params={"identifier": "email", "value": email}).status_code == 404


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"identifier": "email"},
        {"value": "a@example.org"},
        {"identifier": "", "value": "a@example.org"},
        {"identifier": "email", "value": ""},
        {"identifier": "email", "value": "   "},
        {"identifier": "shoe_size", "value": "44"},
        {"identifier": "EMAIL", "value": "a@example.org"},
        {"identifier": "email\x00", "value": "a@example.org"},
        {"identifier": "email", "value": "a\x00@example.org"},
    ],
    ids=str,
)
def test_an_unknown_type_or_a_missing_parameter_is_refused(api: httpx.Client, params: dict[str, str]) -> None:
    assert_error(api.get("/debug/match", params=params), 400, "INVALID_ARGUMENT")
