"""Bytes that are no message, no text and no frame: always a status that says whose mistake it is, and nothing ends."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from tests.contracts.payloads import fresh
from tests.gateway.backends import SERVICES
from tests.gateway.http2 import GRPC_HEADERS, Http2Client, headers_of

SECONDS = 20.0
SERVERS_FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
UNENDING = "WatchLive"
VERDICTS_ONLY = "/events:validate"
"""Judges events, and that they are invalid is its answer."""


def hidden(method: MethodDescriptor) -> bool:
    """True of what services say to each other, which the gateway answers itself."""
    return method.name in {
        "ApplyBatch", "ConfirmErasure", "CountEntries", "ErasePerson", "ForgetErasedEvents", "ForgetUsers", "ListCells",
        "ListErasedEvents", "MatchErased", "PreviewErasure", "ReplaceCells",
    }  # fmt: skip


PUBLIC = [method for service in SERVICES for method in service.methods if not hidden(method)]
METHODS = [pytest.param(method, id=method.name) for method in PUBLIC]
ONE_OF_EACH_KIND = [
    pytest.param(method, id=method.name)
    for method in {
        (each.containing_service.name, each.client_streaming, each.server_streaming): each for each in PUBLIC
    }.values()
]
"""Frames are read by gRPC's library, the same way for all calls of a kind."""


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def messages(method: MethodDescriptor) -> Iterator[bytes]:
    """What is no message of the request's type, or hardly one: fixed ones for each of its fields, and chance."""
    yield from (
        b"\xff",
        b"\x00",
        b"\x07",
        b"\x0a\xff",
        b"\x0a" + varint(1 << 62),
        b"\x0a" + b"\xff" * 10,
        b"\x0b" * 300,
    )
    yield b"\x0a\x02\x0a\x00" * 2_000
    for field in method.input_type.fields:
        tag = field.number << 3
        for kind in (0, 1, 2, 3, 5, 7):
            yield varint(tag | kind) + b"\xff" * 9
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE):
            for text in (b"\xff\xfe", b"\xed\xa0\x80", b"\x00", b"a" * 70_000):
                yield varint(tag | 2) + varint(len(text)) + text
        else:
            for number in (2**64 - 1, 2**63, 2**31, 2**31 - 1):
                yield varint(tag) + varint(number)
    chance = random.Random(method.full_name)
    for _ in range(10):
        yield chance.randbytes(chance.randrange(1, 200))


def status_of(channel: grpc.Channel, method: MethodDescriptor, message: bytes) -> grpc.StatusCode:
    """The status of a call with these bytes as its one message."""
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    call: Any = kinds[bool(method.client_streaming), bool(method.server_streaming)](path_of(method))
    request = iter([message]) if method.client_streaming else message
    try:
        answer = call(request, timeout=SECONDS)
        if method.server_streaming:
            for _ in answer:
                if method.name == UNENDING:
                    answer.cancel()
                    break
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message(channel: grpc.Channel, api: httpx.Client, method: MethodDescriptor) -> None:
    every = list(messages(method))
    with ThreadPoolExecutor(8) as callers:
        codes = list(callers.map(lambda message: status_of(channel, method, message), every))
    found = dict(zip(every, codes, strict=True))
    assert [(message[:40], code) for message, code in found.items() if code in SERVERS_FAULTS] == []
    unanswered = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    assert [(message[:40], code) for message, code in found.items() if code in unanswered] == []
    assert api.get("/healthz").status_code == 200


def framed(flag: int, length: int, data: bytes) -> bytes:
    return bytes([flag]) + length.to_bytes(4, "big") + data


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (framed(0, 100, b"\x0a\x01a"), ""),
        (framed(0, 2**32 - 1, b"\x0a\x01a"), ""),
        (framed(1, 3, b"\x0a\x01a"), ""),
        (framed(1, 3, b"\x0a\x01a"), "identity"),
        (framed(1, 3, b"\x0a\x01a"), "gzip"),
        (framed(1, 12, gzip.compress(b"\x0a\x01a")[:12]), "gzip"),
        (framed(255, 0, b""), ""),
        (framed(0, 0, b"") + b"\x00\x00", ""),
        (b"\x00\x00", ""),
    ],
    ids=[
        "cut", "4 GiB", "packed without a coding", "packed as identity", "no gzip", "half a gzip", "unknown flag",
        "half a second frame", "half a prefix",
    ],
)  # fmt: skip
def test_bytes_that_are_no_frame(gateway_url: str, method: MethodDescriptor, body: bytes, coding: str) -> None:
    headers = [*GRPC_HEADERS, *([("grpc-encoding", coding)] if coding else []), ("grpc-timeout", "500m")]
    with Http2Client(gateway_url) as client:
        events = client.wait(client.send("POST", path_of(method), headers, body=body))
    answer = headers_of(events)
    if method.name == UNENDING or "grpc-status" not in answer:
        return
    assert answer["grpc-status"] not in {str(code.value[0]) for code in SERVERS_FAULTS}, answer


def json_methods() -> Iterator[Any]:
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb in ("post", "put", "patch"):
                path = re.sub(r"\{[^}]*\}", fresh("none").replace("-", "_"), getattr(rule, verb))
                yield pytest.param(verb.upper(), path, id=f"{verb.upper()} {getattr(rule, verb)}")


@pytest.mark.parametrize(("verb", "path"), [*json_methods()])
def test_bodies_that_are_no_text(api: httpx.Client, verb: str, path: str) -> None:
    mark = fresh("mark")
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x00"):
        inside = mark.encode() + bad
        for body in (
            inside,
            b'"' + inside + b'"',
            b'{"' + inside + b'": 1}',
            b'{"email": "' + inside + b'", "event_id": "' + inside + b'", "reason": "' + inside + b'"}',
            b"\xfe\xff" + inside.decode("latin-1").encode("utf-16-be"),
        ):
            answer = api.request(verb, path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code < 500, (body, answer.status_code, answer.text)
            if answer.status_code == 422 or path == VERDICTS_ONLY:
                assert answer.json().keys() & {"errors", "results", "error"}, answer.text
            else:
                assert answer.json()["error"]["code"] == answer.status_code
    assert api.get("/healthz").status_code == 200
