"""How large and in which coding bodies may come, and that what is over the limit reaches nobody."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.gateway.answers import assert_error
from tests.gateway.conftest import Backends

MIB = 1024 * 1024
GZIP = {"content-encoding": "gzip"}


def in_pieces(body: bytes) -> Iterator[bytes]:
    """A body that httpx sends piece by piece: chunked, if no header says how long it is."""
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


@pytest.mark.parametrize("chunked", [False, True])
def test_events_may_be_8_mib(api: httpx.Client, backends: Backends, chunked: bool) -> None:
    body = b" " * (8 * MIB)
    assert api.post("/events", content=in_pieces(body) if chunked else body).status_code == 202
    assert backends.ingest.only_call().request.body.data == body
    backends.ingest.reset()
    larger = body + b" "
    response = api.post("/events", content=in_pieces(larger) if chunked else larger)
    assert_error(response, 413, "RESOURCE_EXHAUSTED")
    assert not backends.ingest.calls


@pytest.mark.parametrize("filling", [b" ", b'{"event_id":"a-b-c"},'])
@pytest.mark.parametrize("level", [1, 9])
def test_the_limit_counts_inflated_bytes(api: httpx.Client, backends: Backends, filling: bytes, level: int) -> None:
    body = (filling * (8 * MIB // len(filling) + 1))[: 8 * MIB]
    assert api.post("/events", content=gzip.compress(body, level), headers=GZIP).status_code == 202
    assert backends.ingest.only_call().request.body.data == body
    backends.ingest.reset()
    assert_error(
        api.post("/events", content=gzip.compress(body + b" ", level), headers=GZIP), 413, "RESOURCE_EXHAUSTED"
    )
    assert not backends.ingest.calls


def test_a_small_body_that_inflates_without_end_is_refused(api: httpx.Client, backends: Backends) -> None:
    bomb = gzip.compress(b" " * (40 * MIB), 1)
    assert_error(api.post("/events", content=bomb, headers=GZIP), 413, "RESOURCE_EXHAUSTED")
    assert not backends.ingest.calls


@pytest.mark.parametrize("length", [0, 5, 15, 40])
def test_a_gzip_body_that_is_cut_short_is_never_taken_for_a_whole_one(
    api: httpx.Client, backends: Backends, length: int
) -> None:
    document = json.dumps([{"event_id": f"e-{number}"} for number in range(100)]).encode()
    assert api.post("/events", content=gzip.compress(document)[:length], headers=GZIP).status_code == 202
    data = backends.ingest.only_call().request.body.data
    assert len(data) < len(document)
    assert document.startswith(data)


def test_reference_users_may_be_64_mib(api: httpx.Client, backends: Backends) -> None:
    body = b" " * (64 * MIB)
    sized = {"content-length": str(len(body))}
    assert api.put("/reference/users", content=in_pieces(body), headers=sized).status_code == 200
    assert backends.stats.only_call().request.body.data == body
    backends.stats.reset()
    assert_error(api.put("/reference/users", content=in_pieces(body + b" ")), 413, "RESOURCE_EXHAUSTED")
    assert not backends.stats.calls


def test_reference_users_may_be_squeezed(api: httpx.Client, backends: Backends) -> None:
    body = b'{"u-1":{"plan":"pro"}},' * 500_000
    assert api.put("/reference/users", content=gzip.compress(body, 1), headers=GZIP).status_code == 200
    assert backends.stats.only_call().request.body.data == body


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


@pytest.mark.parametrize("encoding", ["identity", "GZIP"])
def test_the_name_of_a_coding_has_no_case(api: httpx.Client, backends: Backends, encoding: str) -> None:
    body = b'{"a":1}'
    sent = body if encoding == "identity" else gzip.compress(body)
    assert api.post("/events", content=sent, headers={"content-encoding": encoding}).status_code == 202
    assert backends.ingest.only_call().request.body.data == body


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"5",
        b'{"internal_user_ids": 5',
        b'{"internal_user_ids": [5]}',
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
