"""A campaign, creative or source that is a macro which nobody filled: accepted, flagged, counted apart, visible."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx
import pytest

from dmp.ingest.v1 import event_pb2, ingest_service_pb2
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub


def event(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of an event
    now = datetime.now(UTC).isoformat()
    ours = {
        "event_id": secrets.token_hex(8),
        "type": "click",
        "campaign_id": "camp",
        "source": "web",
        "occurred_at": now,
    }
    return {**ours, **fields}


@pytest.mark.parametrize("field", ["campaign_id", "creative_id", "source"])
def test_it_is_accepted_and_its_result_warns(api: httpx.Client, field: str) -> None:
    answer = api.post("/events", json=[event(), event(**{field: "{{NAME}}"}), event(creative_id="cr_1")])
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["success"] * 3
    assert results[1]["warnings"] == {field: ["is a macro that was not filled"]}
    assert "warnings" not in results[0]
    assert "warnings" not in results[2]


def test_native_callers_are_warned_too(ingest: IngestServiceStub, channel: grpc.Channel) -> None:
    sent = event_pb2.Event(event_id=secrets.token_hex(8), type="click", campaign_id="%%CAMPAIGN%%", source="bidder")
    sent.occurred_at.GetCurrentTime()
    [result] = ingest.PublishEvents(ingest_service_pb2.PublishEventsRequest(events=[sent]), timeout=10).results
    assert [warning.field for warning in result.warnings] == ["campaign_id"]


def test_its_events_are_counted_apart_and_marked(api: httpx.Client) -> None:
    macro = f"{{{{campaign_{secrets.token_hex(4)}}}}}"
    assert api.post("/events", json=[event(campaign_id=macro), event(campaign_id=macro)]).json()["applied"]
    now = datetime.now(UTC)
    query: dict[str, str] = {
        "from": (now - timedelta(minutes=5)).isoformat(),
        "to": now.isoformat(),
        "page_size": "1000",
    }
    marked: dict[str, tuple[bool, int]] = {}
    token = ""
    while True:
        page = api.get("/campaigns", params={**query, "page_token": token} if token else query).json()
        marked |= {found["campaign_id"]: (found["unfilled_macro"], found["events"]) for found in page["campaigns"]}
        token = page["next_page_token"]
        if not token:
            break
    assert marked[macro] == (True, 2)
    assert not any(flag for name, (flag, _) in marked.items() if "{{" not in name and "%%" not in name)
