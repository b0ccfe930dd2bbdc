"""Typed requests that are large or odd, and bodies that carry something that nobody wants."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
import pytest

from dmp.ingest.v1 import event_pb2
from dmp.ingest.v1 import ingest_service_pb2 as pb
from tests.ingest.conftest import Ingest, campaign_event


async def test_a_large_typed_request_is_read_like_a_small_one(ingest: Ingest) -> None:
    events = []
    for number in range(3_000):
        event = event_pb2.Event(event_id=f"e{number}", type="click", campaign_id="c" * 100)
        event.occurred_at.seconds = 1_770_757_859
        event.metadata.update({"n": number})
        events.append(event)
    request = pb.PublishEventsRequest(events=events, source="bidder", minimal_results=True)
    assert request.ByteSize() > 262_144
    request.events[7].metadata.update({"x": [0] * 30_000})
    request.events[8].identifiers.update({f"k{number}": "" for number in range(70)})
    request.events[9].metadata.update({"x": "y" * 300_000})
    answer = await ingest.stub.PublishEvents(request)
    assert (answer.accepted, answer.rejected) == (2_997, 3)
    told = [(result.index, result.errors[0].field) for result in answer.results]
    assert told == [(7, "event"), (8, "identifiers"), (9, "event")]


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05a", b"\x0a\x02\x0a\x05", b"\x0f", b"\x0a" + b"\xff" * 11])
@pytest.mark.parametrize("padding", [0, 300_000])
async def test_what_is_no_message_is_refused(ingest: Ingest, data: bytes, padding: int) -> None:
    ballast = event_pb2.Event(type="x" * padding).SerializeToString() if padding else b""
    front = (
        pb.PublishEventsRequest(events=[event_pb2.Event.FromString(ballast)]).SerializeToString() if padding else b""
    )
    publish: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    publish = ingest.channel.unary_unary("/dmp.ingest.v1.IngestService/PublishEvents")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await publish(front + data)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "call",
    [
        lambda stub: stub.EraseUser(pb.EraseUserRequest(internal_user_id="\0")),
        lambda stub: stub.EraseUser(pb.EraseUserRequest(internal_user_id="user_\0", dry_run=True)),
        lambda stub: stub.GetErasure(pb.GetErasureRequest(erasure_id="\0")),
        lambda stub: stub.GetEvent(pb.GetEventRequest(event_id="\0")),
        lambda stub: stub.AuditEvents(pb.AuditEventsRequest(campaign_id="\0", to="\0")),
        lambda stub: stub.RepairCampaign(pb.RepairCampaignRequest(campaign_id="\0")),
    ],
    ids=["EraseUser", "a preview", "GetErasure", "GetEvent", "AuditEvents", "RepairCampaign"],
)
async def test_a_nul_character_is_no_internal_error(ingest: Ingest, call: Callable[..., object]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(ingest.stub)  # type: ignore[misc]
    assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


async def test_good_events_beside_a_bomb_are_stored(ingest: Ingest) -> None:
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    status, answer = await ingest.post(b"[" + deep + b"," + json.dumps(campaign_event("good")).encode() + b"]")
    assert (status, answer["accepted"], answer["rejected"]) == (202, 1, 1)
