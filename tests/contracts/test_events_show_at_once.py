"""CONTRACT 1: `applied` is true when `/stats`, `/metrics` and `/users` already show the events."""

from __future__ import annotations

import httpx
import pytest

from dmp.ingest.v1 import event_pb2, ingest_service_pb2
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.contracts.answers import campaign_series, metrics, post_events, user
from tests.contracts.payloads import SHAPES, activity_event, campaign_event, fresh, from_now


@pytest.mark.parametrize("shape", SHAPES)
def test_an_applied_event_is_in_stats_at_once(api: httpx.Client, shape: str) -> None:
    campaign = fresh("camp")
    for number in range(1, 11):
        kind = "click" if number % 2 else "impression"
        answer = post_events(api, SHAPES[shape]([campaign_event(campaign_id=campaign, type=kind)])).json()
        assert answer["applied"] is True
        (point,) = campaign_series(api, campaign)
        assert (point["clicks"], point["impressions"]) == ((number + 1) // 2, number // 2)


def test_an_applied_event_is_on_the_timeline_at_once(api: httpx.Client) -> None:
    name = fresh("u")
    for number in range(1, 11):
        answer = post_events(api, campaign_event(user_id=name)).json()
        assert answer["applied"] is True
        assert len(user(api, answer["results"][0]["internal_user_id"])["events"]) == number


def test_an_applied_event_is_in_the_live_metrics_at_once(api: httpx.Client) -> None:
    name, plan = fresh("u"), fresh("plan")
    body = {"user_metadata": {name: {"plan": plan, "region": "eu"}}, "ts": from_now(0)}
    assert api.put("/reference/users", json=body).status_code == 200
    for number in range(1, 11):
        answer = post_events(api, activity_event(user_id=name)).json()
        assert answer["applied"] is True
        assert metrics(api)["by_plan"] == {plan: number}


def test_a_large_batch_is_shown_at_once_too(api: httpx.Client) -> None:
    campaign, name = fresh("camp"), fresh("u")
    events = [campaign_event(campaign_id=campaign, user_id=name) for _ in range(3000)]
    answer = post_events(api, events).json()
    assert (answer["accepted"], answer["applied"]) == (3000, True)
    assert [point["clicks"] for point in campaign_series(api, campaign)] == [3000]
    profile = answer["results"][0]["internal_user_id"]
    assert {result["internal_user_id"] for result in answer["results"]} == {profile}


def test_a_native_call_is_shown_at_once_too(api: httpx.Client, ingest: IngestServiceStub) -> None:
    campaign, name = fresh("camp"), fresh("u")
    event = event_pb2.Event(event_id=fresh("e"), type="click", source="app", campaign_id=campaign, user_id=name)
    event.occurred_at.FromJsonString("2026-02-10T21:10:00Z")
    answer = ingest.PublishEvents(ingest_service_pb2.PublishEventsRequest(events=[event]), timeout=10)
    assert answer.applied
    assert [point["clicks"] for point in campaign_series(api, campaign)] == [1]
    assert len(user(api, answer.results[0].internal_user_id)["events"]) == 1


def test_a_duplicate_of_an_applied_event_is_applied(api: httpx.Client) -> None:
    event = campaign_event()
    post_events(api, event)
    assert post_events(api, event).json()["applied"] is True


def test_a_refused_request_leaves_no_trace(api: httpx.Client) -> None:
    campaign = fresh("camp")
    assert post_events(api, campaign_event(campaign_id=campaign, metadata=[])).status_code == 422
    assert campaign_series(api, campaign) == []
