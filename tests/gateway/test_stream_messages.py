"""Messages of native streams pass the gateway as they are, however they are cut. `tests/contracts` has long ones."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest

from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonRequest as Request
from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonResponse as Response
from dmp_chassis.requests import MAX_STREAMED_BYTES
from dmp_stack.programs import repository_root
from tests.gateway.conftest import Backends
from tests.gateway.http2 import GRPC_HEADERS, Http2Client

PATH = "/dmp.ingest.v1.IngestService/PublishEventStreamJson"
OVERHEAD = 16


def framed(body: bytes) -> bytes:
    message = Request(body=body).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


@pytest.fixture
def received(backends: Backends) -> list[bytes]:
    """The bodies that the service got, in order."""
    bodies: list[bytes] = []

    def take(requests: Iterator[Request], context: grpc.ServicerContext) -> Iterator[Response]:
        for request in requests:
            bodies.append(request.body)
            yield Response(http_status=202)

    backends.ingest.answer("PublishEventStreamJson", take)
    return bodies


@pytest.mark.parametrize("piece", [1, 3, 5, 6, 7, 1000])
def test_messages_arrive_as_they_were_sent_wherever_they_are_cut(
    gateway_url: str, received: list[bytes], piece: int
) -> None:
    bodies = [b"", b"a", b"bc" * 9, b"", b"d" * 300]
    data = b"".join(framed(body) for body in bodies)
    with Http2Client(gateway_url) as client:
        stream = client.send("POST", PATH, GRPC_HEADERS, end=False)
        for start in range(0, len(data), piece):
            client.more(stream, data[start : start + piece], end=start + piece >= len(data))
        client.wait(stream)
    assert received == bodies


def test_the_longest_message_passes_between_others(gateway_url: str, received: list[bytes]) -> None:
    bodies = [b"a", b"x" * (MAX_STREAMED_BYTES - OVERHEAD), b"b" * 70_000, b"c"]
    with Http2Client(gateway_url) as client:
        client.wait(client.send("POST", PATH, GRPC_HEADERS, body=b"".join(framed(body) for body in bodies)))
    assert received == bodies


def test_the_gateway_and_the_services_have_one_limit() -> None:
    text = (repository_root() / "gateway" / "envoy.yaml").read_text()
    assert set(re.findall(r"most_bytes_of_a_message: (\d+)", text)) == {str(MAX_STREAMED_BYTES)}
