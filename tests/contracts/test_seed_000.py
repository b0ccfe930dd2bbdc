"""The examples of the mini DMP (000), with values of their own in place of `a@b.com`, `0xABC123` and `browser_001`."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest

from tests.contracts.answers import PROFILE_ID, match, user
from tests.contracts.payloads import Json, fresh, fresh_email, fresh_wallet


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What stands for the source's example values."""

    email: str = field(default_factory=fresh_email)
    wallet: str = field(default_factory=fresh_wallet)
    browser: str = field(default_factory=lambda: fresh("browser"))


@pytest.fixture
def names() -> Names:
    return Names()


def analytics_batch(names: Names) -> Json:
    return {
        "source": "analytics_script",
        "events": [
            {
                "identifiers": {"email": names.email, "browser_id": names.browser},
                "event_type": "page_view",
                "timestamp": 1700000000,
            },
            {"identifiers": {"email": names.email}, "event_type": "form_submit", "timestamp": 1700000050},
        ],
    }


def ad_batch(names: Names) -> Json:
    return {
        "source": "ad_script",
        "events": [
            {
                "identifiers": {"wallet_address": names.wallet, "browser_id": names.browser},
                "event_type": "ad_click",
                "timestamp": 1700000060,
            }
        ],
    }


def timeline(shown: Json) -> list[tuple[str, str, float]]:
    return [(event["event_type"], event["source"], event["timestamp"]) for event in shown["events"]]


def test_the_analytics_batch_is_one_persons(api: httpx.Client, names: Names) -> None:
    response = api.post("/events", json=analytics_batch(names))
    answer = response.json()
    assert response.status_code == 202
    assert (answer["accepted"], answer["rejected"], answer["duplicates"]) == (2, 0, 0)
    profiles = {result["internal_user_id"] for result in answer["results"]}
    assert len(profiles) == 1
    shown = user(api, profiles.pop())
    assert PROFILE_ID.fullmatch(shown["internal_user_id"])
    assert shown["identifiers"]["email"] == names.email
    assert shown["identifiers"]["browser_ids"] == [names.browser]
    assert timeline(shown) == [
        ("page_view", "analytics_script", 1700000000),
        ("form_submit", "analytics_script", 1700000050),
    ]


def test_the_ad_batch_shares_only_the_browser_and_stays_another_person(api: httpx.Client, names: Names) -> None:
    first = api.post("/events", json=analytics_batch(names)).json()["results"][0]["internal_user_id"]
    second = api.post("/events", json=ad_batch(names)).json()["results"][0]["internal_user_id"]
    assert first != second
    assert [found["internal_user_id"] for found in user(api, first)["possible_matches"]] == [second]


def test_the_printed_person_comes_out_once_somebody_confirms_the_match(api: httpx.Client, names: Names) -> None:
    first = api.post("/events", json=analytics_batch(names)).json()["results"][0]["internal_user_id"]
    second = api.post("/events", json=ad_batch(names)).json()["results"][0]["internal_user_id"]
    other_browser = fresh("browser")
    later = {
        "source": "ad_script",
        "events": [
            {
                "identifiers": {"wallet_address": names.wallet, "browser_id": other_browser},
                "event_type": "ad_impression",
                "timestamp": 1700000070,
            }
        ],
    }
    assert api.post("/events", json=later).json()["results"][0]["internal_user_id"] == second
    merged = api.post("/merge", json={"internal_user_ids": [first, second], "reason": "same browser"})
    assert merged.status_code == 200
    shown = user(api, second)
    assert shown["internal_user_id"] == first
    wanted = {
        "email": names.email,
        "wallet_address": names.wallet,
        "browser_ids": [names.browser, other_browser],
    }
    assert {name: shown["identifiers"][name] for name in wanted} == wanted
    assert timeline(shown) == [
        ("page_view", "analytics_script", 1700000000),
        ("form_submit", "analytics_script", 1700000050),
        ("ad_click", "ad_script", 1700000060),
        ("ad_impression", "ad_script", 1700000070),
    ]


def test_debug_match_shows_the_resolved_person_and_their_identifiers(api: httpx.Client, names: Names) -> None:
    first = api.post("/events", json=analytics_batch(names)).json()["results"][0]["internal_user_id"]
    found = match(api, "email", names.email)
    assert found["internal_user_id"] == first
    assert found["identifiers"]["email"] == names.email
    assert found["identifiers"]["browser_ids"] == [names.browser]
    wanted = {"identifier": "email", "value": names.email, "normalized": names.email, "strength": "strong"}
    assert {name: found["match"][name] for name in wanted} == wanted


def test_the_sample_table_gives_three_people(api: httpx.Client) -> None:
    email, wallets, browsers = fresh_email(), [fresh_wallet(), fresh_wallet()], [fresh("br1"), fresh("br2")]
    rows: list[tuple[str, str, dict[str, str]]] = [
        ("page_view", "analytics_script", {"email": email, "browser_id": browsers[0]}),
        ("ad_click", "ad_script", {"wallet_address": wallets[0], "browser_id": browsers[0]}),
        ("page_view", "analytics_script", {"email": email, "ip": "1.2.3.4"}),
        ("ad_click", "ad_script", {"wallet_address": wallets[1], "browser_id": browsers[1]}),
    ]
    profiles = []
    for second, (kind, source, identifiers) in enumerate(rows):
        event = {"event_type": kind, "identifiers": identifiers, "timestamp": 1700000000 + second}
        answer = api.post("/events", json={"source": source, "events": [event]}).json()
        profiles.append(answer["results"][0]["internal_user_id"])
    assert profiles[0] == profiles[2]
    assert len(set(profiles)) == 3
    shown = user(api, profiles[0])
    assert shown["identifiers"]["email"] == email
    assert shown["identifiers"]["browser_ids"] == [browsers[0]]
    assert shown["identifiers"]["ip_addresses"] == ["1.2.3.4"]
    assert user(api, profiles[3])["possible_matches"] == []
