"""`HEAD` says what `GET` would say, without the body."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from google.api.httpbody_pb2 import HttpBody

from dmp.stats.v1.stats_service_pb2 import RenderStatsResponse
from tests.gateway.conftest import Backends
from tests.gateway.http2 import Http2Client, headers_of

UNLIKE = {"date", "x-request-id", "connection", "transfer-encoding"}
LONG = b'"' + b"x" * 3_000_000 + b'"'


def long_answer(request: object, context: object) -> Iterator[RenderStatsResponse]:
    yield RenderStatsResponse(rendered=HttpBody(content_type="application/json", data=LONG))


@pytest.mark.parametrize(
    "path",
    [
        "/health", "/healthz", "/docs", "/openapi.json", "/users/user_a", "/stats?campaign_id=c", "/metrics",
        "/metrics?window=x", "/metrics?bogus=1", "/nope", "/events/%FF", "/", "/events",
    ],
)  # fmt: skip
def test_head_answers_as_get_does(gateway_url: str, backends: Backends, path: str) -> None:
    backends.stats.answer("RenderStats", long_answer)
    with httpx.Client(base_url=gateway_url, trust_env=False) as client:
        expected, answer = client.get(path), client.head(path)
        assert client.get("/health").status_code == 200, "the connection is in order"
    assert (answer.status_code, answer.content) == (expected.status_code, b"")
    same = {name: value for name, value in expected.headers.items() if name not in UNLIKE}
    if answer.is_error or not expected.content:
        same.pop("content-length", None)
    assert same.items() <= answer.headers.items()
    with Http2Client(gateway_url) as http2:
        events = http2.wait(http2.send("HEAD", path))
    assert headers_of(events)[":status"] == str(expected.status_code)
    assert not b"".join(getattr(event, "data", b"") for event in events)


def test_head_of_the_live_feed_ends(api: httpx.Client, backends: Backends) -> None:
    answer = api.head("/live")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert not backends.stats.calls


def test_head_is_not_for_paths_that_one_cannot_get(api: httpx.Client, backends: Backends) -> None:
    assert api.head("/merge").status_code == 405
    assert not any(backend.calls for backend in backends.all())
