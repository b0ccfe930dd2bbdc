"""`GET /live`: events reach the listener as they are sent, for as long as the listener stays."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import grpc
import httpx
from google.api.httpbody_pb2 import HttpBody

from dmp.stats.v1.stats_service_pb2 import WatchLiveRequest, WatchLiveResponse
from tests.conditions import wait_until
from tests.gateway.answers import assert_error
from tests.gateway.backends import failing
from tests.gateway.conftest import Backends


def event(number: int) -> WatchLiveResponse:
    return WatchLiveResponse(rendered=HttpBody(content_type="text/event-stream", data=b"data: {%d}\n\n" % number))


def test_each_event_arrives_before_the_next_is_made(api: httpx.Client, backends: Backends) -> None:
    read = threading.Semaphore(1)

    def watch(request: WatchLiveRequest, context: grpc.ServicerContext) -> Iterator[WatchLiveResponse]:
        for number in range(request.seconds):
            assert read.acquire(timeout=10), "an event does not wait for the next one"
            yield event(number)

    backends.stats.answer("WatchLive", watch)
    received = []
    with api.stream("GET", "/live?seconds=3") as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        for data in response.iter_bytes():
            received.append(data)
            read.release()
    assert b"".join(received) == b"data: {0}\n\ndata: {1}\n\ndata: {2}\n\n"
    assert len(received) == 3


def test_the_service_knows_when_the_listener_is_gone(gateway_url: str, backends: Backends) -> None:
    gone = threading.Event()

    def watch(request: WatchLiveRequest, context: grpc.ServicerContext) -> Iterator[WatchLiveResponse]:
        context.add_callback(gone.set)
        yield event(0)
        gone.wait(10)

    backends.stats.answer("WatchLive", watch)
    with httpx.Client(trust_env=False) as client, client.stream("GET", f"{gateway_url}/live") as response:
        next(response.iter_bytes())
    wait_until(gone.is_set, "the end of the call", timeout_seconds=5)


def test_a_listener_has_no_deadline(api: httpx.Client, backends: Backends) -> None:
    backends.stats.answer("WatchLive", lambda request, context: iter([event(0)]))
    assert api.get("/live").status_code == 200
    assert backends.stats.only_call().seconds_left == math.inf


def test_a_refusal_is_an_error_as_any_other(api: httpx.Client, backends: Backends) -> None:
    backends.stats.answer("WatchLive", failing(grpc.StatusCode.INVALID_ARGUMENT, "top must be at most 100"))
    assert assert_error(api.get("/live"), 400, "INVALID_ARGUMENT")["message"] == "top must be at most 100"
