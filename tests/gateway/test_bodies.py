"""How large and in which coding bodies may come, and that what is over the limit reaches nobody."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contracts.wire import exchange, request_head
from tests.gateway.answers import assert_error
from tests.gateway.conftest import Backends

MIB = 1024 * 1024
ROOM = 64 * 1024


def in_pieces(body: bytes) -> Iterator[bytes]:
    """A body that httpx sends piece by piece: chunked, if no header says how long it is."""
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


@pytest.mark.parametrize("chunked", [False, True])
def test_events_may_be_8_mib_and_room_for_a_coding(api: httpx.Client, backends: Backends, chunked: bool) -> None:
    body = b" " * (8 * MIB + ROOM)
    assert api.post("/events", content=in_pieces(body) if chunked else body).status_code == 202
    assert backends.ingest.only_call().request.body.data == body
    backends.ingest.reset()
    larger = body + b" "
    response = api.post("/events", content=in_pieces(larger) if chunked else larger)
    assert_error(response, 413, "RESOURCE_EXHAUSTED")
    assert not backends.ingest.calls


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZip"])
@pytest.mark.parametrize("path", ["/events", "/reference/users"])
def test_a_gzip_body_reaches_the_service_as_it_was_sent(
    api: httpx.Client, backends: Backends, path: str, coding: str
) -> None:
    sent = gzip.compress(b" " * (40 * MIB), 1)[:-3] + b"what is wrong with it is the service's to see"
    headers = {"content-encoding": coding, "x-internal-content-encoding": "br"}
    response = api.request("POST" if path == "/events" else "PUT", path, content=sent, headers=headers)
    assert response.status_code < 300
    call = (backends.ingest if path == "/events" else backends.stats).only_call()
    assert call.request.body.data == sent
    assert call.metadata["x-internal-content-encoding"] == coding.lower()
    assert "content-encoding" not in call.metadata


def test_no_caller_can_say_what_the_gateway_says_of_a_coding(api: httpx.Client, backends: Backends) -> None:
    headers = {"x-internal-content-encoding": "gzip", "X_Internal_Content_Encoding": "gzip"}
    assert api.post("/events", content=b"{}", headers=headers).status_code == 202
    told = {name for name in backends.ingest.only_call().metadata if "internal" in name}
    assert told == {"x-internal-stamp"}  # which the gateway gives to every request


def test_reference_users_may_be_64_mib(api: httpx.Client, backends: Backends) -> None:
    body = b" " * (64 * MIB + ROOM)
    sized = {"content-length": str(len(body))}
    assert api.put("/reference/users", content=in_pieces(body), headers=sized).status_code == 200
    assert backends.stats.only_call().request.body.data == body
    backends.stats.reset()
    assert_error(api.put("/reference/users", content=in_pieces(body + b" ")), 413, "RESOURCE_EXHAUSTED")
    assert not backends.stats.calls


@pytest.mark.parametrize("size", [9 * MIB, 30 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_who_does_not_listen_while_sending_hears_the_refusal(
    gateway_url: str, backends: Backends, size: int, chunked: bool
) -> None:
    """Python's own client sends all of a body before it reads: an early answer would reach it as a reset."""
    connection = http.client.HTTPConnection(urlsplit(gateway_url).netloc, timeout=60)
    body = in_pieces(b" " * size) if chunked else b" " * size
    connection.request("POST", "/events", body=body)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["status"] == "RESOURCE_EXHAUSTED"
    connection.close()
    assert not backends.ingest.calls


def test_what_is_far_over_the_limit_is_answered_at_once(gateway_url: str, backends: Backends) -> None:
    head = request_head("POST", "/events", [("Content-Length", str(10 * 1024 * MIB))])
    assert exchange(gateway_url, [head]).status == 413
    assert not backends.ingest.calls


@pytest.mark.parametrize("path", ["/identify", "/merge"])
def test_other_bodies_may_be_1_mib(api: httpx.Client, backends: Backends, path: str) -> None:
    body = b"{" + b" " * (MIB - 2) + b"}"
    assert api.post(path, content=body).status_code == 200
    assert_error(api.post(path, content=b"{" + b" " * (MIB - 1) + b"}"), 413, "RESOURCE_EXHAUSTED")
    assert len(backends.identity.calls) == 1


@pytest.mark.parametrize(
    ("path", "encoding"),
    [
        ("/events", "br"),
        ("/events", "gzip, gzip"),
        ("/reference/users", "deflate"),
        ("/merge", "gzip"),
        ("/identify", "gzip"),
    ],
)
def test_a_coding_that_a_path_does_not_take_is_refused(
    api: httpx.Client, backends: Backends, path: str, encoding: str
) -> None:
    method = "PUT" if path == "/reference/users" else "POST"
    response = api.request(method, path, content=gzip.compress(b"{}"), headers={"content-encoding": encoding})
    assert encoding in assert_error(response, 415, "INVALID_ARGUMENT")["message"]
    assert not any(backend.calls for backend in backends.all())


@pytest.mark.parametrize("encoding", ["identity", "Identity"])
def test_no_coding_is_a_coding_that_every_path_takes(api: httpx.Client, backends: Backends, encoding: str) -> None:
    assert api.post("/events", content=b'{"a":1}', headers={"content-encoding": encoding}).status_code == 202
    assert backends.ingest.only_call().request.body.data == b'{"a":1}'


def test_two_codings_in_two_headers_are_refused(api: httpx.Client, backends: Backends) -> None:
    twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")]
    assert_error(api.post("/events", content=gzip.compress(b"{}"), headers=twice), 415, "INVALID_ARGUMENT")
    assert not backends.ingest.calls


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"5",
        b'{"internal_user_ids": 5',
        b'{"internal_user_ids": "user_1"}',
        b'{"internal_user_ids": 5}',
        b'{"reason": [5]}',
        b'{"internal_user_ids": "\xff"}',
        b'{"internal_user_ids": ["\\ud800"]}',
        b'{"internal_user_ids":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"\x00",
    ],
)
def test_a_typed_body_that_does_not_fit_is_refused(api: httpx.Client, backends: Backends, body: bytes) -> None:
    assert_error(api.post("/merge", content=body), 400, "INVALID_ARGUMENT")
    assert not backends.identity.calls
