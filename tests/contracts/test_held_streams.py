"""Thousands of idle streams cost whoever opens them: others' requests are answered as before."""

from __future__ import annotations

import contextlib

import httpx
import pytest

from tests.conditions import wait_until
from tests.contracts.answers import post_events
from tests.contracts.payloads import campaign_event
from tests.gateway.http2 import GRPC_HEADERS, Http2Client, headers_of

CONNECTIONS = 7
STREAMS = 100
RESOURCE_EXHAUSTED, UNAVAILABLE = "8", "14"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/dmp.ingest.v1.IngestService/PublishEventStream"),
        ("POST", "/dmp.stats.v1.StatsService/ReplaceReferenceUsers"),
        ("GET", "/live"),
    ],
)
def test_idle_streams_take_nothing_from_others(gateway_url: str, api: httpx.Client, method: str, path: str) -> None:
    native = method == "POST"
    with contextlib.ExitStack() as stack:

        def hold(streams: int) -> None:
            client = stack.enter_context(Http2Client(gateway_url))
            for _ in range(streams):
                client.send(method, path, GRPC_HEADERS if native else (), end=not native)

        def nothing_is_left() -> bool:
            if is_taken(gateway_url, path):
                hold(1)  # a stream of the test before ended only now
                return False
            return True

        for _ in range(CONNECTIONS):
            hold(STREAMS)
        wait_until(nothing_is_left, "no place for one more stream")
        applied = []
        for _ in range(30):
            applied.append(post_events(api, campaign_event()).raise_for_status().json()["applied"])
            for read in (
                "/healthz",
                "/metrics",
                "/stats?campaign_id=c&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z",
            ):
                assert api.get(read).status_code == 200
        # On a machine that others keep busy one may have to wait longer than its request.
        assert sum(applied) >= 25
    wait_until(lambda: is_taken(gateway_url, path), "a place for a stream when the others are gone")


def test_a_service_holds_as_many_streams_as_it_says(gateway_url: str) -> None:
    path = "/dmp.ingest.v1.IngestService/PublishEventStream"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Http2Client(gateway_url)) for _ in range(3)]
        for client in clients:
            for _ in range(STREAMS):
                client.send("POST", path, GRPC_HEADERS, end=False)
        wait_until(lambda: not is_taken(gateway_url, path), "no place for one more stream")
        refused = native_stream(gateway_url, path)
        assert (refused["grpc-status"], refused["retry-after"]) == (RESOURCE_EXHAUSTED, "5")


def native_stream(url: str, path: str) -> dict[str, str]:
    """The answer to a stream of no messages."""
    with Http2Client(url) as client:
        return headers_of(client.wait(client.send("POST", path, GRPC_HEADERS)))


def is_taken(url: str, path: str) -> bool:
    """Whether one more stream is let in."""
    if path == "/live":
        with Http2Client(url) as client:
            stream = client.send("GET", "/live?seconds=1")
            while not client.events[stream]:
                client.receive()
            return headers_of(client.events[stream])[":status"] == "200"
    return native_stream(url, path)["grpc-status"] not in {RESOURCE_EXHAUSTED, UNAVAILABLE}
