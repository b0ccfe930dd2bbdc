"""Bodies of `POST /events` on a stream: each answered in its place, an event the same whichever way it comes."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import psycopg
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonRequest as Request
from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonResponse as Response
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.large_requests import LargeRequests
from tests.ingest.conftest import Ingest, campaign_event

MIB = 1 << 20
HUGE = b"1" * 400


async def streamed(ingest: Ingest, *bodies: bytes | Request) -> list[Response]:
    """The answers to these bodies, on one stream."""

    async def requests() -> AsyncIterator[Request]:
        for body in bodies:
            yield Request(body=body) if isinstance(body, bytes) else body

    return [answer async for answer in ingest.stub.PublishEventStreamJson(requests(), timeout=30)]


def reason(answer: Response) -> str:
    """The machine-readable reason of an answer that is an error."""
    info = ErrorInfo()
    assert answer.error.details[0].Unpack(info)
    return str(info.reason)


def results(answer: Response) -> list[dict[str, Any]]:
    """The results of an answer."""
    found: list[dict[str, Any]] = json.loads(answer.body)["results"]
    return found


def body(*events: Mapping[str, object]) -> bytes:
    return json.dumps(events).encode()


async def test_each_body_is_answered_in_its_place_and_none_spoils_another(ingest: Ingest) -> None:
    bodies = [
        json.dumps(campaign_event("single")).encode(),
        b"{no json",
        body(campaign_event("a"), campaign_event("b", type="nonsense")),
        body(*[{}] * 10_001),
        gzip.compress(body(*[{"event_id": "x" * 60}] * 200_000)),
        gzip.compress(body(campaign_event("packed")))[:-1],
        gzip.compress(json.dumps({"source": "web", "events": [campaign_event("packed")]}).encode()),
        b"[" + b" " * MIB + b"]",
        body(campaign_event("a", type="nonsense")),
        b"[]",
        b"",
        body(campaign_event("last")),
    ]
    answers = await streamed(ingest, *bodies)
    assert [answer.http_status for answer in answers] == [202, 400, 202, 413, 413, 400, 202, 413, 422, 422, 400, 202]
    assert [reason(answer) for answer in answers if answer.HasField("error")] == [
        "MALFORMED_BODY",
        "TOO_LARGE",
        "TOO_LARGE",
        "MALFORMED_BODY",
        "TOO_LARGE",
        "MALFORMED_BODY",
    ]
    assert [result["status"] for result in results(answers[2])] == ["success", "error"]
    assert all(not answer.body for answer in answers if answer.HasField("error"))
    with psycopg.connect(ingest.database_url) as connection:
        stored = connection.execute("SELECT event_id FROM event ORDER BY event_id").fetchall()
    assert [event_id for (event_id,) in stored] == ["a", "last", "packed", "single"]


@pytest.mark.parametrize(
    "metadata",
    [
        b'{"n":9007199254740993,"huge":' + HUGE + b',"far":1e400,"near":1e-999,"minus":-0.0}',
        b'{"text":"\\u00e9 \\ud83d\\ude00","b":{"deep":[[[{"x":null}]]],"t":true},"a":[]}',
        b'{"b":1,"a":{"d":2,"c":[1.50,2e0]}}',
    ],
)
async def test_an_event_is_the_same_by_a_request_and_by_the_stream(ingest: Ingest, metadata: bytes) -> None:
    event = json.dumps(campaign_event("e", metadata="@", identifiers={"email": "a@x.com", "ip": "10.0.0.1"})).encode()
    event = event.replace(b'"@"', metadata)
    first, second = event, event.replace(b'"event_id": "e"', b'"event_id": "f"')
    await ingest.post(b"[" + first + b"]")
    (answer,) = await streamed(ingest, b"[" + first + b"," + second + b"]")
    assert [(result["duplicate"], "conflict" in result) for result in results(answer)] == [
        (True, False),
        (False, False),
    ]
    _, again = await ingest.post(second)
    assert again["results"][0]["message"] == "duplicate ignored"
    with psycopg.connect(ingest.database_url) as connection:
        prints = connection.execute("SELECT count(DISTINCT fingerprint), count(*) FROM event").fetchone()
    assert prints == (1, 2), "the contents are equal, and so are their fingerprints"


async def test_results_may_be_few_and_ids_derived(ingest: Ingest) -> None:
    event = {"event_type": "page_view", "source": "web", "timestamp": 1700000000, "identifiers": {"email": "a@x.com"}}
    request = Request(body=body(event), idempotency_key="k", minimal_results=True)
    first, again = await streamed(ingest, request, request)
    assert results(first) == []
    _, by_request = await ingest.post(event, idempotency_key="k")
    assert results(again)[0]["event_id"] == by_request["results"][0]["event_id"]
    with pytest.raises(grpc.aio.AioRpcError, match="idempotency_key must have at most 1,024 bytes"):
        await streamed(ingest, Request(body=body(event), idempotency_key="k" * 1025))


async def test_a_message_that_is_too_long_ends_the_stream(ingest: Ingest) -> None:
    for message in (Request(body=b" " * (2 * MIB)), Request(idempotency_key="k" * 2 * MIB)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await streamed(ingest, body(campaign_event("a")), message)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_streams_hold_counts_among_all_large_requests(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's request holds all that may be held: large bodies are refused in their place, small ones not."""
    share = LargeRequests.share

    def full(large: LargeRequests) -> Any:  # noqa: ANN401 - a context manager of the standard library's making
        holding = share(large).__enter__()
        holding.hold(10_000_000)
        monkeypatch.setattr(LargeRequests, "share", share)
        return share(large)

    monkeypatch.setattr(LargeRequests, "share", full)
    small, large = body(campaign_event("a")), body(*[campaign_event(f"e{number}") for number in range(101)])
    answers = await streamed(ingest, small, large, gzip.compress(large), small)
    assert [answer.http_status for answer in answers] == [202, 429, 429, 202]
    retry = RetryInfo()
    assert answers[1].error.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


async def test_a_log_that_stays_full_is_said_in_the_bodys_place(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmp_ingest.api.publish_streams._LONGEST_WAIT_SECONDS", 0.1)

    async def never(_: GroupGathering) -> None:
        raise TimeoutError

    monkeypatch.setattr(GroupGathering, "wait_for_room", never)
    monkeypatch.setattr("dmp_ingest.submission_queue.SubmissionQueue.is_full", True)
    answers = await streamed(ingest, body(campaign_event("a")), body(campaign_event("b")))
    assert [reason(answer) for answer in answers] == ["OVERLOADED", "OVERLOADED"]
    assert [answer.http_status for answer in answers] == [429, 429]
