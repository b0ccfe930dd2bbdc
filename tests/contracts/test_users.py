"""CONTRACT 2: `GET /users/{internal_user_id}`."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.answers import PROFILE_ID, assert_error, match, person_of, stored, user
from tests.contracts.payloads import (
    Json,
    campaign_event,
    fresh,
    fresh_email,
    fresh_phone,
    fresh_wallet,
    identified_event,
)

LISTS = ("emails", "wallet_addresses", "phones", "user_ids", "browser_ids", "ip_addresses")


def test_a_profile_has_all_the_fields_of_the_contract(api: httpx.Client) -> None:
    email, wallet, browser = fresh_email(), fresh_wallet(), fresh("browser")
    event = identified_event(identifiers={"email": email, "wallet_address": wallet, "browser_id": browser})
    profile = person_of(api, event)
    shown = user(api, profile)
    identifiers = shown.pop("identifiers")
    expected = {
        "email": email,
        "wallet_address": wallet,
        "browser_ids": [browser],
        "emails": [email],
        "wallet_addresses": [wallet],
        "phones": [],
        "user_ids": [],
        "ip_addresses": [],
    }
    assert {name: identifiers[name] for name in expected} == expected
    assert PROFILE_ID.fullmatch(profile)
    expected_rest = {
        "internal_user_id": profile,
        "events": [
            {
                "event_id": event["event_id"],
                "event_type": "page_view",
                "source": "analytics_script",
                "timestamp": 1700000000,
            }
        ],
        "merged_ids": [],
        "possible_matches": [],
        "next_page_token": "",
    }
    assert {name: shown[name] for name in expected_rest} == expected_rest


def test_lists_without_values_are_empty_and_single_values_absent(api: httpx.Client) -> None:
    profile = person_of(api, identified_event(identifiers={"browser_id": fresh("browser")}))
    identifiers = user(api, profile)["identifiers"]
    assert "email" not in identifiers
    assert "wallet_address" not in identifiers
    assert all(identifiers[name] == [] for name in LISTS if name != "browser_ids")


def test_the_single_values_are_the_first_seen(api: httpx.Client) -> None:
    name = fresh("u")
    emails, wallets = [fresh_email() for _ in range(3)], [fresh_wallet() for _ in range(3)]
    for email, wallet in zip(emails, wallets, strict=True):
        stored(api, identified_event(identifiers={"user_id": name, "email": email, "wallet_address": wallet}))
    identifiers = user(api, match(api, "user_id", name)["internal_user_id"])["identifiers"]
    assert (identifiers["email"], identifiers["wallet_address"]) == (emails[0], wallets[0])
    assert (identifiers["emails"], identifiers["wallet_addresses"]) == (emails, wallets)


def test_events_come_in_time_order_whatever_order_they_arrived_in(api: httpx.Client) -> None:
    email = fresh_email()
    for second in (30, 10, 20, 5, 25.5):
        event = identified_event(identifiers={"email": email}, timestamp=1700000000 + second, source=f"s{second}")
        stored(api, event)
    events = user(api, match(api, "email", email)["internal_user_id"])["events"]
    assert [event["timestamp"] - 1700000000 for event in events] == [5, 10, 20, 25.5, 30]
    assert [event["source"] for event in events] == ["s5", "s10", "s20", "s25.5", "s30"]


def test_all_forms_stand_on_one_timeline(api: httpx.Client) -> None:
    name = fresh("u")
    stored(api, campaign_event(user_id=name, type="impression", occurred_at="2023-11-14T22:13:30Z", source="web"))
    profile = person_of(api, identified_event(identifiers={"user_id": name}, timestamp=1700000000))
    events = user(api, profile)["events"]
    assert [(event["event_type"], event["source"], event["timestamp"]) for event in events] == [
        ("page_view", "analytics_script", 1700000000),
        ("impression", "web", 1700000010),
    ]


def timeline_pages(api: httpx.Client, profile: str, page_size: int) -> list[list[Json]]:
    """All pages of a timeline."""
    pages, token = [], ""
    while True:
        response = api.get(f"/users/{profile}", params={"page_size": page_size, "page_token": token})
        assert response.status_code == 200, response.text
        answer = response.json()
        pages.append(answer["events"])
        token = answer["next_page_token"]
        if not token:
            return pages
        assert len(pages) < 200


@pytest.mark.parametrize("page_size", [1, 3, 7, 10, 20, 21])
def test_pages_cover_the_timeline_without_gaps_or_repeats(api: httpx.Client, page_size: int) -> None:
    email = fresh_email()
    # Several events share a second, so that a page ends among equals.
    events = [identified_event(identifiers={"email": email}, timestamp=1700000000 + n // 4) for n in range(20)]
    profile = stored(api, events)[0]["internal_user_id"]
    pages = timeline_pages(api, profile, page_size)
    walked = [event["event_id"] for page in pages for event in page]
    assert all(len(page) <= page_size for page in pages)
    assert walked == [event["event_id"] for event in user(api, profile)["events"]]
    assert sorted(walked) == sorted(event["event_id"] for event in events)


def test_pages_cover_merged_timelines(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    left = [identified_event(identifiers={"email": email}, timestamp=1700000000 + 2 * n) for n in range(15)]
    right = [identified_event(identifiers={"phone": phone}, timestamp=1700000001 + 2 * n) for n in range(15)]
    stored(api, left)
    old = stored(api, right)[0]["internal_user_id"]
    stored(api, identified_event(identifiers={"email": email, "phone": phone}, timestamp=1700009999))
    walked = [event["timestamp"] for page in timeline_pages(api, old, 4) for event in page]
    assert walked == [*range(1700000000, 1700000030), 1700009999]


def test_a_page_has_a_thousand_events_unless_asked_otherwise(api: httpx.Client) -> None:
    email = fresh_email()
    events = [identified_event(identifiers={"email": email}, timestamp=1700000000 + n) for n in range(1001)]
    profile = stored(api, events)[0]["internal_user_id"]
    shown = user(api, profile)
    assert len(shown["events"]) == 1000
    assert shown["next_page_token"]
    rest = api.get(f"/users/{profile}", params={"page_token": shown["next_page_token"]}).json()
    assert [event["event_id"] for event in rest["events"]] == [events[1000]["event_id"]]
    assert rest["next_page_token"] == ""


@pytest.mark.parametrize("token", ["nonsense", "AAAA", "%00", "x" * 500, "-1", "eyJ4IjoxfQ"])
def test_a_page_token_that_nobody_gave_is_refused(api: httpx.Client, token: str) -> None:
    profile = person_of(api, identified_event())
    assert_error(api.get(f"/users/{profile}?page_token={token}"), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("size", ["abc", "1.5", "99999999999999"])
def test_a_page_size_that_is_no_number_is_refused(api: httpx.Client, size: str) -> None:
    profile = person_of(api, identified_event())
    assert_error(api.get(f"/users/{profile}", params={"page_size": size}), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("size", ["0", "-1", "100000"])
def test_a_page_size_out_of_bounds_is_bounded_or_refused(api: httpx.Client, size: str) -> None:
    profile = person_of(api, identified_event())
    assert api.get(f"/users/{profile}", params={"page_size": size}).status_code in (200, 400)


@pytest.mark.parametrize("profile", ["user_zzzzzzzzzzzz", "user_0", "user_00000000000000000000000000"])
def test_an_unknown_id_is_not_found(api: httpx.Client, profile: str) -> None:
    assert_error(api.get(f"/users/{profile}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("profile", ["x", "User_1", "user-1", "123", "user_%20", "user_ABC", "user_" + "z" * 300])
def test_an_impossible_id_is_refused_or_not_found(api: httpx.Client, profile: str) -> None:
    response = api.get(f"/users/{profile}")
    assert response.status_code in (400, 404)
    assert_error(response, response.status_code)
