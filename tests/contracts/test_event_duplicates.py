"""CONTRACT 1: a repeated `event_id` is never counted twice, whatever way it comes; another content is a conflict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.protobuf import json_format

from dmp.ingest.v1 import event_pb2, ingest_service_pb2
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.contracts.answers import campaign_total, person_of, post_events, stored, user
from tests.contracts.payloads import (
    FORMS,
    SHAPES,
    Json,
    array,
    batch,
    campaign_event,
    fresh,
    fresh_email,
    identified_event,
    single,
)

FULL_EVENT: dict[str, Callable[[], Json]] = {
    "campaign": lambda: campaign_event(
        creative_id="cr",
        user_id=fresh("u"),
        identifiers={"email": fresh_email(), "browser_id": fresh("browser")},
        metadata={"placement": "feed_top", "price": 1.25, "tags": ["a", None, True], "position": 3},
    ),
    "activity": lambda: FORMS["activity"](metadata={"a": {"b": 1}}, source="app"),
    "identified": lambda: identified_event(timestamp=1700000000.125, metadata={"page": "/a"}),
}


def duplicate_of(answer: Json) -> Json:
    """The only result, which must be a plain duplicate."""
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (0, 1, 0), answer
    (result,) = answer["results"]
    assert result["status"] == "success"
    assert result["duplicate"] is True
    assert not result.get("conflict"), result
    assert result["message"] == "duplicate ignored"
    return dict(result)


@pytest.mark.parametrize("again", SHAPES)
@pytest.mark.parametrize("first", SHAPES)
def test_a_repeat_in_any_shape_is_a_duplicate(api: httpx.Client, first: str, again: str) -> None:
    event = campaign_event()
    stored(api, SHAPES[first]([event]))
    response = post_events(api, SHAPES[again]([event]))
    assert response.status_code == 202
    assert duplicate_of(response.json())["event_id"] == event["event_id"]
    assert campaign_total(api, event["campaign_id"]) == (0, 1)


@pytest.mark.parametrize("form", FULL_EVENT)
def test_a_repeat_by_native_call_is_a_duplicate(api: httpx.Client, ingest: IngestServiceStub, form: str) -> None:
    event = FULL_EVENT[form]()
    stored(api, event)
    message = json_format.ParseDict(event_to_proto_json(event), event_pb2.Event())
    request = ingest_service_pb2.PublishEventsRequest(events=[message])
    answer = ingest.PublishEvents(request, timeout=10)
    assert (answer.accepted, answer.duplicates, answer.rejected) == (0, 1, 0)
    assert answer.results[0].verdict == event_pb2.VERDICT_DUPLICATE, answer.results[0]


@pytest.mark.parametrize("form", FULL_EVENT)
def test_a_repeat_by_stream_is_a_duplicate(api: httpx.Client, ingest: IngestServiceStub, form: str) -> None:
    event = FULL_EVENT[form]()
    stored(api, event)
    message = json_format.ParseDict(event_to_proto_json(event), event_pb2.Event())
    requests = [ingest_service_pb2.PublishEventStreamRequest(events=[message])]
    (answer,) = ingest.PublishEventStream(iter(requests), timeout=10)
    assert answer.results[0].verdict == event_pb2.VERDICT_DUPLICATE, answer.results[0]


@pytest.mark.parametrize("form", FULL_EVENT)
def test_a_native_call_repeated_as_json_is_a_duplicate(api: httpx.Client, ingest: IngestServiceStub, form: str) -> None:
    event = FULL_EVENT[form]()
    message = json_format.ParseDict(event_to_proto_json(event), event_pb2.Event())
    assert ingest.PublishEvents(ingest_service_pb2.PublishEventsRequest(events=[message]), timeout=10).accepted == 1
    duplicate_of(post_events(api, event).json())


def test_a_repeat_within_one_request_is_a_duplicate(api: httpx.Client) -> None:
    event = campaign_event()
    answer = post_events(api, [event, event, campaign_event(), event]).json()
    assert [result.get("duplicate") for result in answer["results"]] == [False, True, False, True]
    assert (answer["accepted"], answer["duplicates"]) == (2, 2)
    assert campaign_total(api, event["campaign_id"]) == (0, 1)


def test_a_repeat_is_not_on_the_timeline_twice(api: httpx.Client) -> None:
    event = identified_event()
    profile = person_of(api, event)
    for shape in (single, batch, array):
        duplicate_of(post_events(api, shape([event])).json())
    assert len(user(api, profile)["events"]) == 1


def test_a_repeat_does_not_depend_on_how_the_json_is_written(api: httpx.Client) -> None:
    event = FULL_EVENT["campaign"]()
    stored(api, event)
    reordered = {key: event[key] for key in reversed(list(event))}
    reordered["metadata"] = {key: event["metadata"][key] for key in reversed(list(event["metadata"]))}
    reordered["identifiers"] = {key: event["identifiers"][key] for key in reversed(list(event["identifiers"]))}
    response = api.post("/events", content=json.dumps(reordered, indent=3))
    duplicate_of(response.json())


def test_both_spellings_of_the_type_are_the_same_content(api: httpx.Client) -> None:
    event = campaign_event()
    stored(api, event)
    duplicate_of(post_events(api, {**{k: v for k, v in event.items() if k != "type"}, "event_type": "click"}).json())


def test_the_batchs_source_and_the_events_own_are_the_same_content(api: httpx.Client) -> None:
    event = identified_event(source=...)
    stored(api, batch([event]))
    duplicate_of(post_events(api, {**event, "source": "batch_source"}).json())


CHANGES: dict[str, Any] = {
    "type": "impression",
    "campaign_id": "another",
    "creative_id": "another",
    "source": "another",
    "occurred_at": "2026-02-10T21:11:00Z",
    "user_id": "another",
    "metadata": {"placement": "another"},
    "identifiers": {"email": "another@example.org"},
}


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_another_content_is_a_conflict_and_the_first_stands(api: httpx.Client, shape: str, field: str) -> None:
    event = FULL_EVENT["campaign"]()
    stored(api, event)
    before = api.get(f"/events/{event['event_id']}").json()["event"]
    response = post_events(api, SHAPES[shape]([{**event, field: CHANGES[field]}]))
    answer = response.json()
    assert response.status_code == 202
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (0, 1, 0)
    (result,) = answer["results"]
    assert (result["status"], result["duplicate"], result["conflict"]) == ("success", True, True)
    assert result["message"] != "duplicate ignored"
    assert re.search("conflict|content|differ", result["message"])
    assert api.get(f"/events/{event['event_id']}").json()["event"] == before
    assert campaign_total(api, event["campaign_id"]) == (0, 1)


def test_a_conflict_within_one_request_keeps_the_first(api: httpx.Client) -> None:
    event = campaign_event()
    answer = post_events(api, [event, {**event, "type": "impression"}]).json()
    assert [(r["duplicate"], bool(r.get("conflict"))) for r in answer["results"]] == [(False, False), (True, True)]
    assert campaign_total(api, event["campaign_id"]) == (0, 1)


def test_another_time_of_the_same_event_does_not_count_again(api: httpx.Client) -> None:
    event = campaign_event()
    stored(api, event)
    for minute in range(11, 16):
        post_events(api, {**event, "occurred_at": f"2026-02-10T21:{minute}:00Z"})
    assert campaign_total(api, event["campaign_id"]) == (0, 1)


def test_the_same_id_in_another_form_is_a_conflict(api: httpx.Client) -> None:
    event = campaign_event()
    stored(api, event)
    (result,) = post_events(api, identified_event(event_id=event["event_id"])).json()["results"]
    assert (result["duplicate"], result["conflict"]) == (True, True)


def test_a_refused_event_may_be_sent_again_corrected(api: httpx.Client) -> None:
    event = campaign_event(type="nonsense")
    assert post_events(api, event).status_code == 422
    assert post_events(api, event).status_code == 422
    stored(api, {**event, "type": "click"})


def test_ids_are_compared_exactly(api: httpx.Client) -> None:
    name = fresh("Event")
    stored(api, [campaign_event(event_id=text) for text in (name, name.lower(), name + " x", name + "x", "x" + name)])


def event_to_proto_json(event: Json) -> Json:
    """The event with the one spelling of the type that the typed API has."""
    return {("type" if name == "event_type" else name): value for name, value in event.items()}
