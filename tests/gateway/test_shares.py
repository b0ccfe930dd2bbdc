"""Streams, live watchers, native calls and JSON have limits of their own at the gateway: none takes another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dmp.identity.v1.identity_service_pb2 import GetProfileResponse
from dmp.ingest.v1.ingest_service_pb2 import GetEventResponse
from dmp_stack.gateway import Gateway
from tests.conditions import wait_until
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.http2 import EMPTY_MESSAGE, GRPC_HEADERS, Http2Client, headers_of, native_call

SHARE = 3
HELD = 20
OK, UNAVAILABLE = "0", "14"


class NarrowGateway(Gateway):
    """A gateway in which every share is three calls."""

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = super().configuration()
        for cluster in configuration["static_resources"]["clusters"]:
            for threshold in cluster["circuit_breakers"]["thresholds"]:
                assert threshold["max_requests"] <= 4096
                threshold["max_requests"] = SHARE
        return configuration


@pytest.fixture(scope="module")
def narrow_url(runner: GatewayRunner, _backends: Backends) -> str:
    return runner.run(NarrowGateway, **_backends.ports())


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What held calls wait for."""
    event = threading.Event()
    yield event
    event.set()


def hold(client: Http2Client, method: str, path: str, *, native: bool, ended: bool) -> list[int]:
    headers = GRPC_HEADERS if native else ()
    body = EMPTY_MESSAGE if native else b""
    return [client.send(method, path, headers, body=body, end=ended) for _ in range(HELD)]


@pytest.mark.parametrize(
    ("service", "rpc", "method", "path"),
    [
        ("ingest", "PublishEventStream", "POST", "/dmp.ingest.v1.IngestService/PublishEventStream"),
        ("stats", "ReplaceReferenceUsers", "POST", "/dmp.stats.v1.StatsService/ReplaceReferenceUsers"),
        ("stats", "WatchLive", "POST", "/dmp.stats.v1.StatsService/WatchLive"),
        ("stats", "WatchLive", "GET", "/live"),
        ("identity", "GetProfile", "POST", "/dmp.identity.v1.IdentityService/GetProfile"),
    ],
)
def test_held_calls_do_not_take_the_place_of_others(
    narrow_url: str, backends: Backends, released: threading.Event, service: str, rpc: str, method: str, path: str
) -> None:
    backend = getattr(backends, service)

    def wait(request: object, context: object) -> object:
        released.wait(20)
        return GetProfileResponse() if rpc == "GetProfile" else iter(())

    backend.answer(rpc, wait)
    native = path.startswith("/dmp.")
    with Http2Client(narrow_url) as client:
        streams = hold(client, method, path, native=native, ended=rpc != "PublishEventStream")
        wait_until(lambda: len(backend.calls) >= SHARE, "as many calls as may")
        client.wait(streams[-1])
        refused = headers_of(client.events[streams[-1]])
        assert refused.get("grpc-status", refused[":status"]) == (UNAVAILABLE if native else "503")
        for number in range(20):
            assert httpx.get(f"{narrow_url}/healthz", trust_env=False).status_code == 200
            assert httpx.get(f"{narrow_url}/metrics", trust_env=False).status_code == 200
            assert httpx.get(f"{narrow_url}/events/e-{number}", trust_env=False).status_code == 200
            assert httpx.get(f"{narrow_url}/debug/match?identifier=email", trust_env=False).status_code == 200
        if service != "identity":
            assert native_call(narrow_url, "/dmp.ingest.v1.IngestService/CheckHealth")["grpc-status"] == OK
            assert native_call(narrow_url, "/dmp.stats.v1.StatsService/GetMetrics")["grpc-status"] == OK
        released.set()


def test_bodies_that_are_still_coming_occupy_no_place(narrow_url: str, backends: Backends) -> None:
    with Http2Client(narrow_url) as client:
        for _ in range(HELD):
            client.send("POST", "/events", body=b"{", end=False)
        for _ in range(10):
            assert httpx.post(f"{narrow_url}/events", content=b"{}", trust_env=False).status_code == 202
    assert len(backends.ingest.calls) == 10


def test_one_connection_has_a_hundred_streams(gateway_url: str) -> None:
    with Http2Client(gateway_url) as client:
        client.wait(client.send("GET", "/docs"))
        assert client.concurrent_streams == 100


def test_a_call_is_answered_while_others_wait(narrow_url: str, backends: Backends, released: threading.Event) -> None:
    """The limit is one of calls at a time, not of calls."""
    backends.ingest.answer("GetEvent", lambda request, context: GetEventResponse())
    for number in range(SHARE * 3):
        assert httpx.get(f"{narrow_url}/events/e-{number}", trust_env=False).status_code == 200
