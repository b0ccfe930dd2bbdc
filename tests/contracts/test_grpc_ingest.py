"""All of ingest as a typed API, on the same port as the JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import grpc
import httpx
import pytest

from dmp.ingest.v1 import event_pb2, ingest_service_pb2
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.conditions import wait_until
from tests.contracts.answers import campaign_total, match, user
from tests.contracts.grpc_errors import assert_refused
from tests.contracts.payloads import PAST_MINUTE, fresh, fresh_email

Request = ingest_service_pb2.PublishEventsRequest
StreamRequest = ingest_service_pb2.PublishEventStreamRequest
PATIENCE_SECONDS = 20.0


def campaign(campaign_id: str) -> event_pb2.Event:
    event = event_pb2.Event(event_id=fresh("e"), type="click", source="app", campaign_id=campaign_id)
    event.occurred_at.FromJsonString(PAST_MINUTE)
    return event


def activity(offset_seconds: float = 0) -> event_pb2.Event:
    event = event_pb2.Event(event_id=fresh("e"), type="view", user_id=fresh("u"))
    event.ts.FromNanoseconds(time.time_ns() + int(offset_seconds * 1e9))
    return event


def identified(**identifiers: str) -> event_pb2.Event:
    return event_pb2.Event(
        event_id=fresh("e"), type="page_view", source="script", timestamp=1700000000.5, identifiers=identifiers
    )


def test_all_three_forms_are_accepted_and_applied(api: httpx.Client, ingest: IngestServiceStub) -> None:
    name, email = fresh("camp"), fresh_email()
    events = [campaign(name), activity(), identified(email=email)]
    answer = ingest.PublishEvents(Request(events=events), timeout=PATIENCE_SECONDS)
    assert (answer.accepted, answer.duplicates, answer.rejected, answer.applied) == (3, 0, 0, True)
    assert [result.event_id for result in answer.results] == [event.event_id for event in events]
    assert [result.index for result in answer.results] == [0, 1, 2]
    assert {result.verdict for result in answer.results} == {event_pb2.VERDICT_ACCEPTED}
    assert all(result.message == "accepted" for result in answer.results)
    assert campaign_total(api, name) == (0, 1)
    profile = match(api, "email", email)["internal_user_id"]
    assert answer.results[2].internal_user_id == profile
    assert [event["timestamp"] for event in user(api, profile)["events"]] == [1700000000.5]


def test_verdicts_stand_in_request_order(ingest: IngestServiceStub) -> None:
    known = campaign(fresh("camp"))
    ingest.PublishEvents(Request(events=[known]), timeout=PATIENCE_SECONDS)
    other = event_pb2.Event()
    other.CopyFrom(known)
    other.type = "impression"
    wrong = campaign(fresh("camp"))
    wrong.type = "nonsense"
    events = [campaign(fresh("camp")), known, wrong, other, campaign(fresh("camp"))]
    answer = ingest.PublishEvents(Request(events=events), timeout=PATIENCE_SECONDS)
    assert [event_pb2.Verdict.Name(result.verdict) for result in answer.results] == [
        "VERDICT_ACCEPTED",
        "VERDICT_DUPLICATE",
        "VERDICT_REJECTED",
        "VERDICT_CONFLICT",
        "VERDICT_ACCEPTED",
    ]
    assert (answer.accepted, answer.duplicates, answer.rejected) == (2, 2, 1)
    assert [error.field for error in answer.results[2].errors] == ["type"]
    assert all(error.messages for error in answer.results[2].errors)


def test_a_call_whose_events_are_all_invalid_is_answered_not_refused(ingest: IngestServiceStub) -> None:
    answer = ingest.PublishEvents(Request(events=[event_pb2.Event()]), timeout=PATIENCE_SECONDS)
    assert (answer.accepted, answer.rejected) == (0, 1)
    assert answer.results[0].verdict == event_pb2.VERDICT_REJECTED
    assert len(answer.results[0].errors) >= 2


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (campaign(""), "campaign_id"),
        (event_pb2.Event(event_id="x", type="click", source="s", timestamp=1), "identifiers"),
        (
            event_pb2.Event(event_id="x" * 256, type="click", source="s", timestamp=1, identifiers={"email": "a"}),
            "event_id",
        ),
        (
            event_pb2.Event(event_id="a\x00", type="click", source="s", timestamp=1, identifiers={"email": "a"}),
            "event_id",
        ),
        (
            event_pb2.Event(event_id="x", type="click", source="s", timestamp=1e30, identifiers={"email": "a"}),
            "timestamp",
        ),
    ],
)
def test_the_same_rules_hold_as_for_json(ingest: IngestServiceStub, event: event_pb2.Event, field: str) -> None:
    (result,) = ingest.PublishEvents(Request(events=[event]), timeout=PATIENCE_SECONDS).results
    assert result.verdict == event_pb2.VERDICT_REJECTED
    assert any(error.field.startswith(field) for error in result.errors), result


@pytest.mark.parametrize(("offset", "accepted"), [(-119, 1), (-121, 0), (119, 1), (122, 0)])
def test_the_clock_rule_holds_for_native_calls(ingest: IngestServiceStub, offset: int, accepted: int) -> None:
    answer = ingest.PublishEvents(Request(events=[activity(offset)]), timeout=PATIENCE_SECONDS)
    assert answer.accepted == accepted


def test_the_requests_source_is_lent_to_events_without_one(api: httpx.Client, ingest: IngestServiceStub) -> None:
    event = identified(email=fresh_email())
    event.source = ""
    answer = ingest.PublishEvents(Request(events=[event], source="lent"), timeout=PATIENCE_SECONDS)
    assert [entry["source"] for entry in user(api, answer.results[0].internal_user_id)["events"]] == ["lent"]


def test_an_idempotency_key_makes_the_same_ids_as_over_json(api: httpx.Client, ingest: IngestServiceStub) -> None:
    key, email = fresh("key"), fresh_email()
    event = identified(email=email)
    event.event_id = ""
    request = Request(events=[event], idempotency_key=key)
    first = ingest.PublishEvents(request, timeout=PATIENCE_SECONDS)
    again = ingest.PublishEvents(request, timeout=PATIENCE_SECONDS)
    assert (first.accepted, again.duplicates) == (1, 1)
    body = {"event_type": "page_view", "source": "script", "timestamp": 1700000000.5, "identifiers": {"email": email}}
    answer = api.post("/events", json=body, headers={"idempotency-key": key}).json()
    assert answer["duplicates"] == 1
    assert answer["results"][0]["event_id"] == first.results[0].event_id == again.results[0].event_id


def test_a_minimal_answer_leaves_out_what_was_simply_accepted(ingest: IngestServiceStub) -> None:
    event = campaign(fresh("camp"))
    request = Request(events=[campaign(fresh("camp")), event, event], minimal_results=True)
    answer = ingest.PublishEvents(request, timeout=PATIENCE_SECONDS)
    assert answer.accepted == 2
    assert [(result.index, result.verdict) for result in answer.results] == [(2, event_pb2.VERDICT_DUPLICATE)]


def test_ten_thousand_events_are_accepted_in_one_call(ingest: IngestServiceStub) -> None:
    name = fresh("camp")
    answer = ingest.PublishEvents(Request(events=[campaign(name) for _ in range(10_000)]), timeout=PATIENCE_SECONDS)
    assert answer.accepted == 10_000


def test_more_than_ten_thousand_events_are_refused(ingest: IngestServiceStub) -> None:
    event = campaign(fresh("camp"))
    request = Request(events=[event] * 10_001)
    info = assert_refused(
        lambda: ingest.PublishEvents(request, timeout=PATIENCE_SECONDS),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_LARGE",
        "ingest.dmp",
    )
    assert info.metadata["limit"] == "10000"
    assert ingest.PublishEvents(Request(events=[event]), timeout=PATIENCE_SECONDS).accepted == 1


def test_a_call_without_events_is_refused(ingest: IngestServiceStub) -> None:
    assert_refused(
        lambda: ingest.PublishEvents(Request(), timeout=PATIENCE_SECONDS),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        "ingest.dmp",
        field="events",
    )


def test_a_stream_answers_each_message_in_order(ingest: IngestServiceStub) -> None:
    known = campaign(fresh("camp"))
    messages = [[campaign(fresh("camp")) for _ in range(size)] for size in (1, 3, 2, 50, 1)]
    messages[1][1] = known
    messages[3][49] = known
    messages[2][0].type = "nonsense"
    requests = [StreamRequest(events=events) for events in messages]
    answers = list(ingest.PublishEventStream(iter(requests), timeout=PATIENCE_SECONDS))
    assert [[result.event_id for result in answer.results] for answer in answers] == [
        [event.event_id for event in events] for events in messages
    ]
    assert [(answer.accepted, answer.duplicates, answer.rejected) for answer in answers] == [
        (1, 0, 0),
        (3, 0, 0),
        (1, 0, 1),
        (49, 1, 0),
        (1, 0, 0),
    ]


def _has(answers: list[str], count: int) -> bool:
    return len(answers) >= count


def test_a_stream_answers_while_it_is_still_open(ingest: IngestServiceStub) -> None:
    answered: list[str] = []

    def requests() -> Iterator[ingest_service_pb2.PublishEventStreamRequest]:
        for number in range(5):
            wait_until(partial(_has, answered, number), f"{number} answers", timeout_seconds=PATIENCE_SECONDS)
            yield StreamRequest(events=[campaign(fresh("camp"))])

    answers = ingest.PublishEventStream(requests(), timeout=PATIENCE_SECONDS)
    answered.extend(answer.results[0].event_id for answer in answers)
    assert len(answered) == 5


def test_a_long_stream_is_counted_exactly(api: httpx.Client, ingest: IngestServiceStub) -> None:
    name = fresh("camp")
    requests = [StreamRequest(events=[campaign(name) for _ in range(50)]) for _ in range(20)]
    answers = list(ingest.PublishEventStream(iter([*requests, *requests]), timeout=60))
    assert sum(answer.accepted for answer in answers) == 1000
    assert sum(answer.duplicates for answer in answers) == 1000
    assert campaign_total(api, name) == (0, 1000)


def test_get_event_reads_what_was_stored(api: httpx.Client, ingest: IngestServiceStub) -> None:
    event = campaign(fresh("camp"))
    event.creative_id, event.user_id = "cr", fresh("u")
    event.identifiers["email"] = fresh_email()
    event.metadata.update({"placement": "top", "n": 1.5})
    ingest.PublishEvents(Request(events=[event]), timeout=PATIENCE_SECONDS)
    got = ingest.GetEvent(ingest_service_pb2.GetEventRequest(event_id=event.event_id), timeout=PATIENCE_SECONDS).event
    for field in ("event_id", "type", "source", "occurred_at", "campaign_id", "creative_id", "user_id", "metadata"):
        assert getattr(got, field) == getattr(event, field), field
    assert dict(event.identifiers).items() <= dict(got.identifiers).items()
    assert abs(got.received_at.ToSeconds() - time.time()) < 60
    assert got.batch_id
    answer = api.get(f"/events/{event.event_id}").json()["event"]
    assert answer["event_id"] == event.event_id
    assert answer["occurred_at"] == PAST_MINUTE


def test_an_unknown_event_is_not_found(api: httpx.Client, ingest: IngestServiceStub) -> None:
    name = fresh("nobody")
    info = assert_refused(
        lambda: ingest.GetEvent(ingest_service_pb2.GetEventRequest(event_id=name), timeout=PATIENCE_SECONDS),
        grpc.StatusCode.NOT_FOUND,
        "EVENT_NOT_FOUND",
        "ingest.dmp",
    )
    assert info.metadata["event_id"] == name
    assert api.get(f"/events/{name}").status_code == 404


def test_health_is_a_call_too(ingest: IngestServiceStub) -> None:
    answer = ingest.CheckHealth(ingest_service_pb2.CheckHealthRequest(), timeout=PATIENCE_SECONDS)
    assert (answer.ok, answer.status, list(answer.degraded)) == (True, "healthy", [])
