"""A request that the gateway asks of another replica, after the first has stored its events and died."""

from __future__ import annotations

import time
import uuid

import pytest

from dmp.ingest.v1 import ingest_service_pb2 as pb
from tests.ingest.conftest import Ingest

EMAIL = "marty@hillvalley.edu"
UNNAMED = {"event_type": "click", "source": "web", "timestamp": 1_700_000_000, "identifiers": {"email": EMAIL}}


def stamp(request: uuid.UUID | None = None) -> str:
    """As the gateway writes it."""
    return f"{request or uuid.uuid4()} {time.time_ns() // 1_000_000}"


def ids(answer: dict[str, object]) -> list[object]:
    results = answer["results"]
    assert isinstance(results, list)
    return [result["event_id"] for result in results]


async def test_events_without_ids_are_the_same_ones_at_each_try(ingest: Ingest) -> None:
    given = stamp()
    events = [UNNAMED, {**UNNAMED, "event_id": str(uuid.uuid4())}, UNNAMED]
    status, first = await ingest.post(events, x_internal_stamp=given)
    again_status, again = await ingest.post(events, x_internal_stamp=given)
    assert (status, again_status) == (202, 202)
    assert (first["accepted"], first["duplicates"]) == (3, 0)
    assert (again["accepted"], again["duplicates"]) == (0, 3)
    assert ids(again) == ids(first)
    assert not any(result.get("conflict") for result in again["results"])


async def test_two_requests_alike_are_two(ingest: Ingest) -> None:
    answers = [(await ingest.post([UNNAMED], x_internal_stamp=stamp()))[1] for _ in range(2)]
    assert [answer["accepted"] for answer in answers] == [1, 1]
    assert ids(answers[0]) != ids(answers[1])


async def test_a_key_of_the_caller_comes_first(ingest: Ingest) -> None:
    keyed = {"idempotency_key": str(uuid.uuid4())}
    answers = [(await ingest.post([UNNAMED], x_internal_stamp=stamp(), **keyed))[1] for _ in range(2)]
    assert [answer["duplicates"] for answer in answers] == [0, 1]


@pytest.mark.parametrize("given", ["", "x", f"{uuid.uuid4()} now"])
async def test_what_is_no_stamp_makes_new_ids(ingest: Ingest, given: str) -> None:
    answers = [(await ingest.post([UNNAMED], x_internal_stamp=given))[1] for _ in range(2)]
    assert [answer["accepted"] for answer in answers] == [1, 1]
    assert all(uuid.UUID(str(event_id)).version == 7 for answer in answers for event_id in ids(answer))


async def test_native_calls_are_repeated_alike(ingest: Ingest) -> None:
    request = pb.PublishEventsRequest(source="web")
    event = request.events.add(type="click", timestamp=1_700_000_000)
    event.identifiers["email"] = EMAIL
    metadata = (("x-internal-stamp", stamp()),)
    first, again = [await ingest.stub.PublishEvents(request, metadata=metadata, timeout=20) for _ in range(2)]
    assert (first.accepted, again.duplicates) == (1, 1)
    assert first.results[0].event_id == again.results[0].event_id
