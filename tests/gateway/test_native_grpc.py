"""gRPC on the port that speaks JSON too: all of the public services, nothing else, and as the service says it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from dmp.identity.v1 import identity_service_pb2 as identity_pb
from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from dmp.ingest.v1 import ingest_service_pb2 as ingest_pb
from dmp.ingest.v1.event_pb2 import Event
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp.stats.v1 import stats_service_pb2 as stats_pb
from dmp.stats.v1.stats_service_pb2_grpc import StatsServiceStub
from tests.gateway.backends import failing
from tests.gateway.conftest import Backends
from tests.gateway.http2 import GRPC_HEADERS, Http2Client, headers_of


def test_each_service_is_reached_by_its_name(channel: grpc.Channel, backends: Backends) -> None:
    IngestServiceStub(channel).GetEvent(ingest_pb.GetEventRequest(event_id="e"))
    IdentityServiceStub(channel).GetProfile(identity_pb.GetProfileRequest(internal_user_id="u"))
    StatsServiceStub(channel).QueryStats(stats_pb.QueryStatsRequest(campaign_id="c"))
    assert backends.ingest.only_call().request.event_id == "e"
    assert backends.identity.only_call().request.internal_user_id == "u"
    assert backends.stats.only_call().request.campaign_id == "c"


def test_metadata_and_the_callers_deadline_arrive(channel: grpc.Channel, backends: Backends) -> None:
    metadata = (("idempotency-key", "k"), ("trace-bin", b"\x00\xff"), ("x-http-status", "299"), ("x-internal-a", "b"))
    request = ingest_pb.PublishEventsRequest(events=[Event(event_id="a")])
    IngestServiceStub(channel).PublishEvents(request, timeout=7, metadata=metadata)
    call = backends.ingest.only_call()
    assert call.metadata["idempotency-key"] == "k"
    assert call.metadata["trace-bin"] == b"\x00\xff"
    assert not {"x-http-status", "x-internal-a"} & set(call.metadata)
    assert 5 < call.seconds_left < 8


def test_a_call_without_a_deadline_has_none(channel: grpc.Channel, backends: Backends) -> None:
    IngestServiceStub(channel).GetEvent(ingest_pb.GetEventRequest(event_id="e"))
    assert backends.ingest.only_call().seconds_left == math.inf


def test_a_native_call_cannot_pass_for_a_json_request(channel: grpc.Channel, backends: Backends) -> None:
    metadata = (("x-envoy-original-path", "/events/e"), ("x-envoy-original-method", "GET"))
    IngestServiceStub(channel).GetEvent(ingest_pb.GetEventRequest(event_id="e"), metadata=metadata)
    call = backends.ingest.only_call()
    assert call.seconds_left == math.inf
    assert not {name for name, _ in metadata} & set(call.metadata)


def test_a_deadline_ends_the_call(channel: grpc.Channel, backends: Backends) -> None:
    released = threading.Event()
    backends.ingest.answer("GetEvent", lambda request, context: (released.wait(10), ingest_pb.GetEventResponse())[1])
    with pytest.raises(grpc.RpcError) as failure:
        IngestServiceStub(channel).GetEvent(ingest_pb.GetEventRequest(event_id="e"), timeout=0.5)
    released.set()
    assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_rich_status_arrives_untouched(channel: grpc.Channel, backends: Backends) -> None:
    info = ErrorInfo(reason="EVENT_NOT_FOUND", domain="ingest.dmp", metadata={"event_id": "e"})
    backends.ingest.answer("GetEvent", failing(grpc.StatusCode.NOT_FOUND, "no event é", info))
    with pytest.raises(grpc.RpcError) as failure:
        IngestServiceStub(channel).GetEvent(ingest_pb.GetEventRequest(event_id="e"))
    call: Any = failure.value
    status = rpc_status.from_call(call)
    assert status is not None
    assert (status.code, status.message) == (grpc.StatusCode.NOT_FOUND.value[0], "no event é")
    unpacked = ErrorInfo()
    assert status.details[0].Unpack(unpacked)
    assert unpacked == info


def test_a_large_message_passes(channel: grpc.Channel, backends: Backends) -> None:
    request = ingest_pb.PublishEventsRequest(events=[Event(event_id="x" * 16_000_000)])
    IngestServiceStub(channel).PublishEvents(request)
    assert backends.ingest.only_call().request == request


def test_a_stream_answers_message_by_message(channel: grpc.Channel, backends: Backends) -> None:
    def verdicts(
        requests: Iterator[ingest_pb.PublishEventStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[ingest_pb.PublishEventStreamResponse]:
        for request in requests:
            yield ingest_pb.PublishEventStreamResponse(accepted=len(request.events))

    backends.ingest.answer("PublishEventStream", verdicts)
    answered = threading.Semaphore(0)

    def requests() -> Iterator[ingest_pb.PublishEventStreamRequest]:
        for count in (1, 2, 3):
            yield ingest_pb.PublishEventStreamRequest(events=[Event()] * count)
            assert answered.acquire(timeout=10), "the answer to a message does not wait for the next message"

    received = []
    for response in IngestServiceStub(channel).PublishEventStream(requests()):
        received.append(response.accepted)
        answered.release()
    assert received == [1, 2, 3]


def test_an_upload_in_parts_arrives_whole(channel: grpc.Channel, backends: Backends) -> None:
    def count(
        requests: Iterator[stats_pb.ReplaceReferenceUsersRequest], context: grpc.ServicerContext
    ) -> stats_pb.ReplaceReferenceUsersResponse:
        return stats_pb.ReplaceReferenceUsersResponse(users=sum(len(request.users) for request in requests))

    backends.stats.answer("ReplaceReferenceUsers", count)
    user = stats_pb.ReferenceUser(attributes={"plan": "p" * 1000})
    part = stats_pb.ReplaceReferenceUsersRequest(users={f"u-{number}": user for number in range(1000)})
    assert StatsServiceStub(channel).ReplaceReferenceUsers(iter([part] * 20)).users == 20_000


@pytest.mark.parametrize(
    "method",
    [
        "/dmp.identity.v1.IdentityService/ApplyBatch",
        "/dmp.stats.v1.StatsService/ApplyBatch",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/dmp.other.v1.Service/Call",
        "/events",
    ],
)
def test_what_is_not_for_callers_does_not_exist(channel: grpc.Channel, backends: Backends, method: str) -> None:
    unary: Any = channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as failure:
        unary(b"")
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED
    streaming: Any = channel.stream_stream(method)
    with pytest.raises(grpc.RpcError) as failure:
        list(streaming(iter([b""])))
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert not any(backend.calls for backend in backends.all())


SMALL_CALLS = (
    "ingest.v1.IngestService/GetEvent",
    "identity.v1.IdentityService/GetProfile",
    "stats.v1.StatsService/QueryStats",
)
LARGE_CALLS = ("ingest.v1.IngestService/PublishEvents", "stats.v1.StatsService/ReplaceReferenceUsersJson")


def sent_to(gateway_url: str, rpc: str, message: bytes, *headers: tuple[str, str]) -> dict[str, str]:
    body = bytes(1) + len(message).to_bytes(4, "big") + message
    with Http2Client(gateway_url) as client:
        return headers_of(client.wait(client.send("POST", f"/dmp.{rpc}", [*GRPC_HEADERS, *headers], body=body)))


@pytest.mark.parametrize(
    ("rpc", "mebibytes"),
    [*((rpc, 2) for rpc in SMALL_CALLS), *((rpc, {"i": 17, "s": 65}[rpc[0]]) for rpc in LARGE_CALLS)],
)
def test_a_message_over_the_limit_of_its_call_is_not_handed_on(
    gateway_url: str, backends: Backends, rpc: str, mebibytes: int
) -> None:
    answer = sent_to(gateway_url, rpc, b"\x7a" + bytes(mebibytes << 20))
    assert (answer["grpc-status"], answer["grpc-message"]) == ("8", "the message is larger than this call takes")
    assert not [call for each in (backends.ingest, backends.identity, backends.stats) for call in each.calls]


@pytest.mark.parametrize("coding", ["deflate", "br", "gzip,gzip"])
def test_messages_are_gzip_or_nothing(gateway_url: str, backends: Backends, coding: str) -> None:
    answer = sent_to(gateway_url, "ingest.v1.IngestService/GetEvent", b"", ("grpc-encoding", coding))
    assert answer["grpc-status"] == "12"
    assert answer["grpc-accept-encoding"] == "identity,gzip"
    assert not backends.ingest.calls
