"""The endpoint table of the enrichment service (003)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import httpx
import pytest

from tests.contracts.payloads import Json, fresh, from_now


def event(user_id: str, kind: str, ts: str) -> Json:
    return {"event_id": str(uuid.uuid4()), "user_id": user_id, "type": kind, "ts": ts}


def now_in_milliseconds() -> str:
    """As printed: `2025-10-08T12:34:56.789Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("kind", ["click", "view", "purchase"])
def test_a_single_event_is_answered_with_results(api: httpx.Client, kind: str) -> None:
    body = event("u-123", kind, now_in_milliseconds())
    response = api.post("/events", json=body)
    assert response.status_code == 202
    (result,) = response.json()["results"]
    assert (result["event_id"], result["status"]) == (body["event_id"], "success")
    assert result["message"]


def test_an_array_of_events_is_answered_in_order(api: httpx.Client) -> None:
    good = event("u-123", "click", now_in_milliseconds())
    late = event("u-123", "view", "2025-10-08T12:34:56.789Z")
    early = event("u-123", "view", from_now(180))
    response = api.post("/events", json=[good, late, good, early])
    results = response.json()["results"]
    assert response.status_code == 202
    assert [result["event_id"] for result in results] == [body["event_id"] for body in (good, late, good, early)]
    assert [result["status"] for result in results] == ["success", "error", "success", "error"]
    assert results[2]["duplicate"] is True
    assert all(result["message"] for result in results)


def test_the_printed_event_is_long_past_and_refused(api: httpx.Client) -> None:
    response = api.post("/events", json=event("u-123", "click", "2025-10-08T12:34:56.789Z"))
    assert response.status_code == 422
    assert response.json()["results"][0]["status"] == "error"
    assert "ts" in response.json()["errors"]


def test_the_reference_table_is_replaced_and_a_stale_one_refused(api: httpx.Client) -> None:
    table = {"u-123": {"plan": "pro", "region": "eu"}}
    response = api.put("/reference/users", json={"user_metadata": table, "ts": now_in_milliseconds()})
    assert response.status_code == 200
    assert response.json()["message"] == "Reference table updated successfully"
    stale = api.put("/reference/users", json={"user_metadata": table, "ts": "2025-10-08T12:00:00.000Z"})
    assert stale.status_code == 409


def test_metrics_are_grouped_as_printed(api: httpx.Client) -> None:
    plans = {fresh("u"): ("free", "us"), fresh("u"): ("pro", "eu"), fresh("u"): ("free", "us")}
    counts = dict(zip(plans, (250, 220, 130), strict=True))
    table = {name: {"plan": plan, "region": region} for name, (plan, region) in plans.items()}
    api.put("/reference/users", json={"user_metadata": table, "ts": from_now(0)})
    events = [event(name, "view", from_now(-5)) for name, count in counts.items() for _ in range(count)]
    assert api.post("/events", json=events).json()["accepted"] == 600
    for path in ("/metrics", "/metrics?window=300", "/metrics?window=60"):
        answer = api.get(path).json()
        assert answer["by_plan"] == {"free": 380, "pro": 220}
        assert answer["by_region"] == {"us": 380, "eu": 220}
        assert answer["unique_users"] == 3
        assert answer["window_sec"] == (60 if "60" in path else 300)
        assert {"events_per_sec", "unknown"} <= set(answer)


def test_healthz_is_as_printed(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"ok": True} | api.get("/healthz").json()
    assert api.get("/healthz").json()["ok"] is True
