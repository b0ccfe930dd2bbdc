"""The examples of the ad events (001), with ids of their own."""

from __future__ import annotations

import uuid

import httpx

from tests.contracts.payloads import Json, fresh


def click(campaign: str, user_id: str) -> Json:
    return {
        "event_id": str(uuid.uuid4()),
        "type": "click",
        "campaign_id": campaign,
        "creative_id": "cr_456",
        "source": "web",
        "occurred_at": "2026-02-10T21:10:00Z",
        "user_id": user_id,
        "metadata": {"ip": "1.2.3.4"},
    }


def impression(campaign: str, user_id: str) -> Json:
    return {
        "event_id": str(uuid.uuid4()),
        "type": "impression",
        "campaign_id": campaign,
        "creative_id": "cr_456",
        "source": "web",
        "occurred_at": "2026-02-10T21:12:00Z",
        "user_id": user_id,
        "metadata": {"placement": "feed_top"},
    }


def stats(api: httpx.Client, campaign: str) -> Json:
    response = api.get(
        f"/stats?campaign_id={campaign}&from=2026-02-10T21:10:00Z&to=2026-02-10T21:20:00Z&granularity=minute"
    )
    assert response.status_code == 200
    answer: Json = response.json()
    return answer


def test_both_examples_are_accepted_and_counted(api: httpx.Client) -> None:
    campaign, person = fresh("camp_123"), fresh("u_999")
    assert api.post("/events", json=click(campaign, person)).status_code == 202
    assert api.post("/events", json=impression(campaign, person)).status_code == 202
    answer = stats(api, campaign)
    series = [{name: point[name] for name in ("ts", "impressions", "clicks")} for point in answer.pop("series")]
    assert {name: answer[name] for name in ("campaign_id", "from", "to", "granularity")} == {
        "campaign_id": campaign,
        "from": "2026-02-10T21:10:00Z",
        "to": "2026-02-10T21:20:00Z",
        "granularity": "minute",
    }
    assert series == [
        {"ts": "2026-02-10T21:10:00Z", "impressions": 0, "clicks": 1},
        {"ts": "2026-02-10T21:12:00Z", "impressions": 1, "clicks": 0},
    ]


def test_minutes_with_the_printed_counts_look_as_printed(api: httpx.Client) -> None:
    campaign = fresh("camp_123")
    printed = [("2026-02-10T21:10:00Z", 1200, 32), ("2026-02-10T21:11:00Z", 1188, 29)]
    events = [
        {"event_id": fresh("e"), "type": kind, "campaign_id": campaign, "source": "web", "occurred_at": moment}
        for moment, impressions, clicks in reversed(printed)
        for kind, count in (("click", clicks), ("impression", impressions))
        for _ in range(count)
    ]
    assert api.post("/events", json=events).json()["accepted"] == len(events)
    series = stats(api, campaign)["series"]
    assert [(point["ts"], point["impressions"], point["clicks"]) for point in series] == printed


def test_an_invalid_event_is_unprocessable(api: httpx.Client) -> None:
    campaign = fresh("camp")
    for change in ({"type": "hover"}, {"occurred_at": "10 February"}, {"campaign_id": ""}):
        response = api.post("/events", json={**click(campaign, "u"), **change})
        assert response.status_code == 422
        assert set(change) & set(response.json()["errors"])
    assert stats(api, campaign)["series"] == []


def test_a_duplicate_is_ignored_and_counted_once(api: httpx.Client) -> None:
    campaign, person = fresh("camp"), fresh("u")
    event = click(campaign, person)
    for duplicate in (False, True, True):
        response = api.post("/events", json=event)
        assert response.status_code == 202
        assert response.json()["results"][0]["duplicate"] is duplicate
    assert [point["clicks"] for point in stats(api, campaign)["series"]] == [1]
