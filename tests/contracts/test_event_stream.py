"""The stream of JSON bodies through the real gateway: long messages are held by nobody, and answered."""

from __future__ import annotations

import json

import pytest

from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonRequest, PublishEventStreamJsonResponse
from dmp_chassis.requests import MAX_STREAMED_BYTES
from tests.contracts.payloads import campaign_event
from tests.gateway.http2 import GRPC_HEADERS, Http2Client, body_of, headers_of

PATH = "/dmp.ingest.v1.IngestService/PublishEventStreamJson"
INVALID_ARGUMENT = "3"


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize("cut", [0, 3, 5, 1000])
def test_a_message_that_is_too_long_is_kept_back_and_those_before_it_are_answered(gateway_url: str, cut: int) -> None:
    body = json.dumps(campaign_event()).encode()
    before = framed(PublishEventStreamJsonRequest(body=body).SerializeToString())
    long = framed(b"x" * (MAX_STREAMED_BYTES + 1)) + before
    with Http2Client(gateway_url) as client:
        stream = client.send("POST", PATH, GRPC_HEADERS, body=before + long[:cut], end=False)
        client.more(stream, long[cut:], end=True)
        events = client.wait(stream)
    answer = PublishEventStreamJsonResponse.FromString(body_of(events)[5:])
    assert answer.http_status == 202
    assert json.loads(answer.body)["accepted"] == 1
    said = headers_of(events)
    assert said["grpc-status"] == INVALID_ARGUMENT
    assert f"at most {MAX_STREAMED_BYTES} bytes" in said["grpc-message"]
