"""Whoever does not read an answer takes nothing from others who share its connection to the service."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from google.api.httpbody_pb2 import HttpBody

from dmp.stats.v1.stats_service_pb2 import QueryStatsResponse, RenderStatsResponse
from tests.contracts.wire import open_connection, request_head
from tests.gateway.conftest import Backends
from tests.gateway.http2 import EMPTY_MESSAGE, GRPC_HEADERS, Http2Client, native_call

PIECES = 200
PIECE = b"x" * 131_072


def test_native_callers_who_read_nothing_do_not_stop_others(gateway_url: str, backends: Backends) -> None:
    long = QueryStatsResponse(campaign_id="x" * 24_000_000)
    backends.stats.answer("QueryStats", lambda request, context: long)
    clients = [Http2Client(gateway_url) for _ in range(8)]
    for client in clients:
        client.send("POST", "/dmp.stats.v1.StatsService/QueryStats", GRPC_HEADERS, body=EMPTY_MESSAGE)
    for client in clients:
        client.receive()
    for _ in range(8):
        assert native_call(gateway_url, "/dmp.stats.v1.StatsService/GetReference")["grpc-status"] == "0"
    for client in clients:
        client.close()


def test_an_answer_in_parts_is_made_as_fast_as_it_is_read(gateway_url: str, backends: Backends) -> None:
    made = 0

    def parts(request: object, context: object) -> Iterator[RenderStatsResponse]:
        nonlocal made
        for made in range(1, PIECES + 1):  # noqa: B007
            yield RenderStatsResponse(rendered=HttpBody(content_type="text/csv", data=PIECE))

    backends.stats.answer("RenderStats", parts)
    with open_connection(gateway_url) as connection:
        connection.sendall(request_head("GET", "/stats?campaign_id=c", []))
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert httpx.get(f"{gateway_url}/metrics", trust_env=False).status_code == 200
        assert made < PIECES // 2, "what nobody reads is not made"
    answer = httpx.get(f"{gateway_url}/stats?campaign_id=c", trust_env=False)
    assert answer.content == PIECE * PIECES
