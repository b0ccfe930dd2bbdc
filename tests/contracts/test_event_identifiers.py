"""CONTRACT 1: the `identifiers` of an event."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contracts.answers import assert_names_field, match, person_of, post_events, rejected_errors, stored, user
from tests.contracts.payloads import (
    Maker,
    activity_event,
    campaign_event,
    compact,
    fresh,
    fresh_email,
    fresh_phone,
    fresh_wallet,
    identified_event,
)

ABSENT: list[Any] = [None, "", "   ", "\t\n "]


def test_every_kind_of_identifier_is_accepted_and_shown(api: httpx.Client) -> None:
    identifiers = {
        "email": fresh_email(),
        "phone": fresh_phone(),
        "wallet_address": fresh_wallet(),
        "browser_id": fresh("browser"),
        "ip_address": "198.51.100.7",
        "user_id": fresh("u"),
    }
    shown = user(api, person_of(api, identified_event(identifiers=identifiers)))["identifiers"]
    assert shown["email"] == identifiers["email"]
    assert shown["wallet_address"] == identifiers["wallet_address"]
    assert shown["emails"] == [identifiers["email"]]
    assert shown["phones"] == [identifiers["phone"]]
    assert shown["wallet_addresses"] == [identifiers["wallet_address"]]
    assert shown["browser_ids"] == [identifiers["browser_id"]]
    assert shown["ip_addresses"] == ["198.51.100.7"]
    assert shown["user_ids"] == [identifiers["user_id"]]


def test_ip_is_another_spelling_of_ip_address(api: httpx.Client) -> None:
    profile = person_of(api, identified_event(identifiers={"email": fresh_email(), "ip": "203.0.113.9"}))
    assert user(api, profile)["identifiers"]["ip_addresses"] == ["203.0.113.9"]


@pytest.mark.parametrize("absent", ABSENT, ids=repr)
@pytest.mark.parametrize("kind", ["email", "phone", "wallet_address", "browser_id", "ip_address", "ip", "user_id"])
def test_null_and_blank_values_count_as_absent(api: httpx.Client, kind: str, absent: object) -> None:
    errors = rejected_errors(post_events(api, identified_event(identifiers={kind: absent})))
    assert_names_field(errors, "identifiers")
    other = ("phone", fresh_phone()) if kind == "email" else ("email", fresh_email())
    profile = person_of(api, identified_event(identifiers={kind: absent, other[0]: other[1]}))
    shown = user(api, profile)["identifiers"]
    assert sum(len(values) for values in shown.values() if isinstance(values, list)) == 1


@pytest.mark.parametrize("empty", [{}, None, {"email": None, "phone": " "}], ids=repr)
def test_an_identified_event_needs_one_value(api: httpx.Client, empty: object) -> None:
    assert_names_field(rejected_errors(post_events(api, identified_event(identifiers=empty))), "identifiers")


@pytest.mark.parametrize("kind", ["phone", "wallet_address", "browser_id", "user_id"])
@pytest.mark.parametrize("digits", ["4915112345", "12345678901234567890", "90071992547409931234567"])
def test_a_number_is_read_as_its_text(api: httpx.Client, kind: str, digits: str) -> None:
    number = digits + str(int(fresh("n").partition("-")[2], 16))[:9]
    event = identified_event(identifiers={kind: "@", "email": fresh_email()})
    body = compact(event).replace(b'"@"', number.encode())
    response = api.post("/events", content=body)
    assert response.status_code == 202, response.text
    profile = response.json()["results"][0]["internal_user_id"]
    plural = {
        "phone": "phones",
        "wallet_address": "wallet_addresses",
        "browser_id": "browser_ids",
        "user_id": "user_ids",
    }
    assert user(api, profile)["identifiers"][plural[kind]] == [number]
    assert match(api, kind, number)["internal_user_id"] == profile


def test_a_number_matches_the_same_digits_sent_as_text(api: httpx.Client) -> None:
    number = int(fresh("n").partition("-")[2], 16)
    first = person_of(api, identified_event(identifiers={"phone": number}))
    assert person_of(api, identified_event(identifiers={"phone": str(number)})) == first


def test_a_number_is_no_email(api: httpx.Client) -> None:
    errors = rejected_errors(post_events(api, identified_event(identifiers={"email": 12345})))
    assert_names_field(errors, "identifiers", "email")


@pytest.mark.parametrize("wrong", [True, [], {}, ["a@example.org"], {"a": "b"}], ids=repr)
@pytest.mark.parametrize("kind", ["email", "phone", "browser_id", "user_id"])
def test_a_value_that_is_neither_text_nor_number_is_named(api: httpx.Client, kind: str, wrong: object) -> None:
    errors = rejected_errors(post_events(api, identified_event(identifiers={"email": fresh_email(), kind: wrong})))
    assert_names_field(errors, "identifiers", kind)


@pytest.mark.parametrize("wrong", ["a@example.org", 7, [], [{"email": "a@example.org"}], True], ids=repr)
@pytest.mark.parametrize("make", [identified_event, campaign_event, activity_event])
def test_identifiers_must_be_an_object(api: httpx.Client, make: Maker, wrong: object) -> None:
    assert_names_field(rejected_errors(post_events(api, make(identifiers=wrong))), "identifiers")


@pytest.mark.parametrize("make", [campaign_event, activity_event, identified_event])
def test_the_events_own_user_id_is_an_identifier_too(api: httpx.Client, make: Maker) -> None:
    name = fresh("u")
    profile = person_of(api, make(user_id=name))
    assert match(api, "user_id", name)["internal_user_id"] == profile
    assert user(api, profile)["identifiers"]["user_ids"] == [name]
    assert person_of(api, identified_event(identifiers={"user_id": name})) == profile


def test_identifiers_of_any_form_resolve_the_person(api: httpx.Client) -> None:
    email = fresh_email()
    events = [
        identified_event(identifiers={"email": email}),
        campaign_event(identifiers={"email": email}),
        activity_event(user_id=fresh("u"), identifiers={"email": email}),
    ]
    assert len({result["internal_user_id"] for result in stored(api, events)}) == 1


def test_an_event_with_several_values_adds_them_all(api: httpx.Client) -> None:
    email, phone, browser = fresh_email(), fresh_phone(), fresh("browser")
    profile = person_of(api, identified_event(identifiers={"email": email}))
    again = person_of(api, identified_event(identifiers={"email": email, "phone": phone, "browser_id": browser}))
    assert again == profile
    shown = user(api, profile)["identifiers"]
    assert (shown["emails"], shown["phones"], shown["browser_ids"]) == ([email], [phone], [browser])
