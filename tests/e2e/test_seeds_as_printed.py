"""Every example of the five sources, letter by letter, on a system that has seen nothing else.

The tests of this module form one story and run in the order in which they stand.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from dmp_stack.stack import Stack

CLICK = """{
  "event_id": "1f5a9d3c-0000-0000-0000-000000000000",
  "type": "click",
  "campaign_id": "camp_123",
  "creative_id": "cr_456",
  "source": "web",
  "occurred_at": "2026-02-10T21:10:00Z",
  "user_id": "u_999",
  "metadata": {"ip": "1.2.3.4"}
}"""
IMPRESSION = """{
  "event_id": "2a7b8c9d-1111-2222-3333-444444444444",
  "type": "impression",
  "campaign_id": "camp_123",
  "creative_id": "cr_456",
  "source": "web",
  "occurred_at": "2026-02-10T21:12:00Z",
  "user_id": "u_1001",
  "metadata": {"placement": "feed_top"}
}"""
ANALYTICS = """{
  "source": "analytics_script",
  "events": [
    {
      "identifiers": {
        "email": "a@b.com",
        "browser_id": "browser_001"
      },
      "event_type": "page_view",
      "timestamp": 1700000000
    },
    {
      "identifiers": {
        "email": "a@b.com"
      },
      "event_type": "form_submit",
      "timestamp": 1700000050
    }
  ]
}"""
ADS = """{
  "source": "ad_script",
  "events": [
    {
      "identifiers": {
        "wallet_address": "0xABC123",
        "browser_id": "browser_001"
      },
      "event_type": "ad_click",
      "timestamp": 1700000060
    }
  ]
}"""


def posted(api: httpx.Client, path: str, body: str) -> httpx.Response:
    """As curl would send it."""
    return api.post(path, content=body, headers={"content-type": "application/json"})


def part(answer: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer that an example prints."""
    return {name: answer[name] for name in wanted}


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        (
            '{"email": "foo@bar.com"}',
            '{"primaryContactId": 1, "emails": ["foo@bar.com"], "phoneNumbers": [], "secondaryContactIds": []}',
        ),
        (
            '{"email": "foo@bar.com", "phoneNumber": "+919999999999"}',
            (
                '{"primaryContactId": 1, "emails": ["foo@bar.com"], "phoneNumbers": ["+919999999999"],'
                ' "secondaryContactIds": [2]}'
            ),
        ),
        (
            '{"email": "newemail@example.com", "phoneNumber": "+919999999999"}',
            (
                '{"primaryContactId": 1, "emails": ["foo@bar.com", "newemail@example.com"],'
                ' "phoneNumbers": ["+919999999999"], "secondaryContactIds": [2, 3]}'
            ),
        ),
    ],
    ids=["first", "second", "third"],
)
def test_004_usage_examples(own_api: httpx.Client, body: str, printed: str) -> None:
    response = posted(own_api, "/identify", body)
    assert response.status_code == 200
    wanted = json.loads(printed)
    assert part(response.json(), wanted) == wanted


def test_004_and_003_health(own_api: httpx.Client) -> None:
    assert own_api.get("/health").json()["status"] == "healthy"
    assert own_api.get("/healthz").json()["ok"] is True


def test_002_the_story_of_hill_valley(own_api: httpx.Client, own_stack: Stack) -> None:
    def contact(body: str) -> dict[str, Any]:
        response = posted(own_api, "/identify", body)
        assert response.status_code == 200
        answer: dict[str, Any] = response.json()["contact"]
        return answer

    first = contact('{"email": "lorraine@hillvalley.edu", "phoneNumber": "123456"}')["primaryContactId"]
    (second,) = contact('{"email": "mcfly@hillvalley.edu", "phoneNumber": "123456"}')["secondaryContactIds"]
    wanted: dict[str, Any] = {
        "primaryContatctId": first,
        "emails": ["lorraine@hillvalley.edu", "mcfly@hillvalley.edu"],
        "phoneNumbers": ["123456"],
        "secondaryContactIds": [second],
    }
    answer = contact('{\n\t"email": "mcfly@hillvalley.edu",\n\t"phoneNumber": "123456"\n}')
    assert part(answer, wanted) == wanted

    answer = contact('{\n    "email": "newunkonown@hillvalley.edu",\n    "phoneNumber": "789012"\n}')
    wanted = {
        "primaryContactId": second + 1,
        "emails": ["newunkonown@hillvalley.edu"],
        "phoneNumbers": ["789012"],
        "secondaryContactIds": [],
    }
    assert part(answer, wanted) == wanted

    george = contact('{"email": "george@hillvalley.edu", "phoneNumber": "919191"}')["primaryContactId"]
    biff = contact('{"email": "biffsucks@hillvalley.edu", "phoneNumber": "717171"}')["primaryContactId"]
    answer = contact('{\n"email":"george@hillvalley.edu",\n"phoneNumber": "717171"\n}')
    wanted = {
        "primaryContatctId": george,
        "emails": ["george@hillvalley.edu", "biffsucks@hillvalley.edu"],
        "phoneNumbers": ["919191", "717171"],
        "secondaryContactIds": [biff],
    }
    assert part(answer, wanted) == wanted
    with psycopg.connect(own_stack.database_url("identity")) as connection:
        rows = connection.execute(
            'SELECT id, "phoneNumber", email, "linkedId", "linkPrecedence"::text, "deletedAt" FROM contact'
            " WHERE id = ANY(%s) ORDER BY id",
            [[first, second, george, biff]],
        ).fetchall()
    assert rows == [
        (first, "123456", "lorraine@hillvalley.edu", None, "primary", None),
        (second, "123456", "mcfly@hillvalley.edu", first, "secondary", None),
        (george, "919191", "george@hillvalley.edu", None, "primary", None),
        (biff, "717171", "biffsucks@hillvalley.edu", george, "secondary", None),
    ]


def test_001_events_and_stats(own_api: httpx.Client) -> None:
    assert posted(own_api, "/events", CLICK).status_code == 202
    assert posted(own_api, "/events", IMPRESSION).status_code == 202
    repeated = posted(own_api, "/events", CLICK)
    assert repeated.status_code == 202
    assert repeated.json()["results"][0]["duplicate"] is True
    assert posted(own_api, "/events", CLICK.replace('"click"', '"hover"')).status_code == 422
    response = own_api.get(
        "/stats?campaign_id=camp_123&from=2026-02-10T21:10:00Z&to=2026-02-10T21:20:00Z&granularity=minute"
    )
    answer = response.json()
    points = [{"impressions": 0, "clicks": 1}, {"impressions": 1, "clicks": 0}]
    assert [part(point, wanted) for point, wanted in zip(answer["series"], points, strict=True)] == points
    wanted = {
        "campaign_id": "camp_123",
        "from": "2026-02-10T21:10:00Z",
        "to": "2026-02-10T21:20:00Z",
        "granularity": "minute",
    }
    assert part(answer, wanted) == wanted
    assert [point["ts"] for point in answer["series"]] == ["2026-02-10T21:10:00Z", "2026-02-10T21:12:00Z"]


def test_000_batches_users_match_and_merge(own_api: httpx.Client) -> None:
    analytics = posted(own_api, "/events", ANALYTICS)
    ads = posted(own_api, "/events", ADS)
    assert (analytics.status_code, ads.status_code) == (202, 202)
    person = analytics.json()["results"][0]["internal_user_id"]
    other = ads.json()["results"][0]["internal_user_id"]
    found = own_api.get("/debug/match?identifier=email&value=a@b.com").json()
    assert found["internal_user_id"] == person
    assert found["identifiers"]["email"] == "a@b.com"
    late = ADS.replace("browser_001", "browser_456").replace("1700000060", "1700000090")
    assert posted(own_api, "/events", late).status_code == 202
    merged = own_api.post("/merge", json={"internal_user_ids": [person, other]})
    assert merged.json()["internal_user_id"] == person
    shown = own_api.get(f"/users/{person}").json()
    identifiers = {
        "email": "a@b.com",
        "wallet_address": "0xABC123",
        "browser_ids": ["browser_001", "browser_456"],
    }
    assert part(shown["identifiers"], identifiers) == identifiers
    printed = [
        {"event_type": "page_view", "source": "analytics_script", "timestamp": 1700000000},
        {"event_type": "form_submit", "source": "analytics_script", "timestamp": 1700000050},
        {"event_type": "ad_click", "source": "ad_script", "timestamp": 1700000060},
        {"event_type": "ad_click", "source": "ad_script", "timestamp": 1700000090},
    ]
    assert [part(event, wanted) for event, wanted in zip(shown["events"], printed, strict=True)] == printed


def test_000_sample_data(own_api: httpx.Client) -> None:
    rows = [
        ("page_view", "analytics_script", {"email": "a@b.com", "browser_id": "br1"}),
        ("ad_click", "ad_script", {"wallet_address": "0xABC123", "browser_id": "br1"}),
        ("page_view", "analytics_script", {"email": "a@b.com", "ip": "1.2.3.4"}),
        ("ad_click", "ad_script", {"wallet_address": "0xXYZ999", "browser_id": "br2"}),
    ]
    people = []
    for second, (kind, source, identifiers) in enumerate(rows):
        event = {"event_type": kind, "identifiers": identifiers, "timestamp": 1700000100 + second}
        answer = own_api.post("/events", json={"source": source, "events": [event]}).json()
        people.append(answer["results"][0]["internal_user_id"])
    assert people[0] == people[1] == people[2], "the e-mail and the wallet are one person since the merge"
    assert people[3] != people[0]


def test_003_reference_events_and_metrics(own_api: httpx.Client) -> None:
    reference = '{"user_metadata": {"u-123": {"plan": "pro", "region": "eu"}}, "ts": "2025-10-08T12:00:00.000Z"}'
    response = own_api.put("/reference/users", content=reference, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert response.json()["message"] == "Reference table updated successfully"
    assert response.json()["generation"] == 1
    stale = own_api.put("/reference/users", content=reference.replace("T12:00:00.000", "T11:59:59.999"))
    assert stale.status_code == 409
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    events = [
        {"event_id": f"e-{n}", "user_id": user, "type": "click", "ts": now} for n, user in enumerate(["u-123", "x"])
    ]
    assert own_api.post("/events", json=events).json()["accepted"] == 2
    answer = own_api.get("/metrics").json()
    wanted: dict[str, Any] = {
        "window_sec": 300,
        "unique_users": 1,
        "unknown": 1,
        "unknown_users": 1,
        "by_plan": {"pro": 1},
        "by_region": {"eu": 1},
        "generation": 1,
    }
    assert part(answer, wanted) == wanted
    assert answer["events_per_sec"] == pytest.approx(2 / 300, abs=0.006)
