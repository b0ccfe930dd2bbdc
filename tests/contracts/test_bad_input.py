"""Whatever comes in, every path answers within seconds, as JSON, and never with a `5xx`."""

from __future__ import annotations

import gzip
import json
from urllib.parse import quote

import httpx
import pytest

from tests.contracts.answers import assert_no_leak
from tests.contracts.payloads import campaign_event
from tests.contracts.wire import RawAnswer, exchange, request_head

BODIES = {
    "nothing": b"",
    "half an object": b"{",
    "null": b"null",
    "empty array": b"[]",
    "array of null": b"[null]",
    "number": b"7",
    "text": b'"x"',
    "true": b"true",
    "nested arrays": b"[[[[]]]]",
    "NUL escape": b'{"email":"\\u0000","event_id":"\\u0000","ts":"\\u0000"}',
    "NUL byte": b'{"email":"\x00"}',
    "lone surrogate": b'{"email":"\\ud800","internal_user_ids":["\\udfff"],"user_metadata":{"\\ud800":{}}}',
    "lone surrogate key": b'{"\\ud800":1}',
    "invalid UTF-8": b'{"email":"\xff\xfe"}',
    "10 MB": b'{"email":"' + b"x" * 10_000_000 + b'"}',
    "depth 10,000 open": b"[" * 10_000,
    "depth 10,000 closed": b"[" * 10_000 + b"]" * 10_000,
    "depth 10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "depth 200 in a field": b'{"internal_user_ids":' + b"[" * 200 + b"]" * 200 + b',"metadata":1}',
    "huge number": b'{"phoneNumber":1e400,"timestamp":1e400}',
    "long number": b'{"phoneNumber":' + b"9" * 100_000 + b"}",
    "wrong kinds": b'{"email":[],"phoneNumber":{},"internal_user_ids":7,"reason":[],"user_metadata":[],"ts":{}}',
    "many keys": json.dumps({f"k{n}": n for n in range(50_000)}).encode(),
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"email":"a"}'.encode("utf-16"),
}
TARGETS = [("POST", "/events"), ("POST", "/identify"), ("POST", "/merge"), ("PUT", "/reference/users")]
WRITTEN = [
    "%00",
    "%FF",
    "%FF%FE",
    "%ED%A0%80",
    "%C0%80",
    "%",
    "%zz",
    "%2F",
    "..%2F..%2Fetc",
    "'",
    "%27%3B--",
    "%25s",
    "x" * 4000,
    "%F0%9F%98%80",
    "%0A%0D",
    "%20",
    "",
]
READS = [
    "/users/{}",
    "/users/user_1?page_token={}",
    "/users/user_1?page_size={}",
    "/debug/match?identifier=email&value={}",
    "/debug/match?identifier={}&value=x",
    "/stats?campaign_id={}&from=2026-02-10T21:00:00Z&to=2026-02-10T21:10:00Z&granularity=minute",
    "/stats?campaign_id=c&from={}&to=2026-02-10T21:10:00Z&granularity=minute",
    "/stats?campaign_id=c&from=2026-02-10T21:00:00Z&to={}&granularity=minute",
    "/stats?campaign_id=c&from=2026-02-10T21:00:00Z&to=2026-02-10T21:10:00Z&granularity={}",
    "/stats?campaign_id=c&from=2026-02-10T21:00:00Z&to=2026-02-10T21:10:00Z&granularity=hour&tz={}",
    "/stats?campaign_id=c&from=2026-02-10T21:00:00Z&to=2026-02-10T21:10:00Z&granularity=minute&group_by={}",
    "/metrics?window={}",
    "/metrics?group_by={}",
    "/events/{}",
    "/nowhere/{}",
    "/metrics?nonsense={}",
    "/?{}",
]


def assert_answered(answer: RawAnswer) -> None:
    """Not a `5xx`, and JSON wherever it is an error."""
    assert answer.status < 500, (answer.status, answer.body[:500])
    if answer.status >= 400:
        assert answer.headers.get("content-type", "").startswith("application/json"), (
            answer.headers,
            answer.body[:200],
        )
        json.loads(answer.body)
        assert_no_leak(answer.body.decode())


def send_body(url: str, method: str, target: str, body: bytes, *headers: tuple[str, str]) -> RawAnswer:
    length = ("Content-Length", str(len(body)))
    return exchange(url, [request_head(method, target, [("Content-Type", "application/json"), length, *headers]), body])


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("method", "target"), TARGETS)
def test_no_body_breaks_a_path(gateway_url: str, method: str, target: str, name: str) -> None:
    answer = send_body(gateway_url, method, target, BODIES[name])
    assert_answered(answer)
    assert answer.status >= 400 or (target == "/identify" and name == "huge number")  # a phone number, as text


@pytest.mark.parametrize(("method", "target"), TARGETS)
def test_no_gzip_body_breaks_a_path(gateway_url: str, method: str, target: str) -> None:
    packed = gzip.compress(json.dumps([campaign_event()] * 10).encode())
    for body in (packed[:20], packed[: len(packed) // 2], packed[:-5], b"\x1f\x8b\x08junk", b"plain", b""):
        assert send_body(gateway_url, method, target, body, ("Content-Encoding", "gzip")).status < 500
    for coding in ("br", "deflate", "zstd", "gzip, gzip", "nonsense"):
        assert send_body(gateway_url, method, target, packed, ("Content-Encoding", coding)).status < 500


@pytest.mark.parametrize("template", READS)
def test_no_address_breaks_a_path(gateway_url: str, template: str) -> None:
    for text in WRITTEN:
        target = template.format(text)
        assert_answered(exchange(gateway_url, [request_head("GET", target, [])]))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "target", ["/events", "/identify", "/stats", "/metrics", "/reference/users", "/health", "/", "/x"]
)
def test_no_method_breaks_a_path(api: httpx.Client, method: str, target: str) -> None:
    response = api.request(method, target)
    assert response.status_code < 500, response.text


@pytest.mark.parametrize(
    "line",
    [
        b"GET /stats HTTP/1.1\r\n\r\n",
        b"GET /stats HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"\r\n",
    ],
    ids=[
        "no host",
        "version",
        "binary",
        "negative length",
        "both lengths",
        "bad chunk",
        "long path",
        "long header",
        "many",
    ],
)
def test_broken_http_is_refused(gateway_url: str, line: bytes) -> None:
    answer = exchange(gateway_url, [line])
    assert 400 <= answer.status < 500, answer


def test_a_path_that_climbs_up_leads_nowhere(gateway_url: str) -> None:
    for path in (
        "/../../etc/passwd",
        "/docs/../../etc/passwd",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "//events",
        "/./health",
    ):
        answer = exchange(gateway_url, [request_head("GET", path, [])])
        assert answer.status < 500
        assert b"root:" not in answer.body


def test_a_query_parameter_does_not_replace_the_path(api: httpx.Client) -> None:
    response = api.get("/users/user_doesnotexist?internal_user_id=user_other")
    assert response.status_code in (400, 404)
    assert "user_other" not in response.text


def test_headers_of_the_inner_protocol_are_not_obeyed(api: httpx.Client) -> None:
    headers = {"x-http-status": "299", "grpc-timeout": "1n", "x-envoy-original-path": "/dmp.ingest.v1.IngestService/X"}
    response = api.post("/events", json=campaign_event(), headers=headers)
    assert response.status_code == 202, response.text


def test_the_system_still_works_after_all_that(api: httpx.Client) -> None:
    assert api.post("/events", json=campaign_event(event_id=quote("fine"))).status_code == 202
    assert api.get("/healthz").json() == {"ok": True} | api.get("/healthz").json()
