"""Where metrics are read: over HTTP, within bounds, for as long as the server lives."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from dmp_chassis.metrics import Metrics
from dmp_chassis.metrics_endpoint import MetricsEndpoint
from dmp_chassis.server import Parts, start_server
from tests.chassis.echo_service import API, EchoServicer
from tests.scraping import fetch, scrape


async def test_it_answers_where_it_was_told_and_is_gone_with_the_server() -> None:
    parts = Parts(servicer=EchoServicer({}), metrics_listen="127.0.0.1:0")
    running = await start_server(API, parts)
    port = running.metrics_port
    assert port not in {0, running.port}
    assert "dmp_metrics_questions_failed_total" in await scrape(port)
    await running.close()
    with pytest.raises(OSError, match=r".*"):
        await scrape(port)


async def test_without_an_address_there_is_no_port() -> None:
    async with await start_server(API, Parts(servicer=EchoServicer({}))) as running:
        assert running.metrics_port == 0


async def test_a_port_that_is_taken_keeps_the_server_from_starting() -> None:
    async with await start_server(API, Parts(servicer=EchoServicer({}), metrics_listen="127.0.0.1:0")) as running:
        with pytest.raises(OSError, match=r".*"):
            await start_server(
                API, Parts(servicer=EchoServicer({}), metrics_listen=f"127.0.0.1:{running.metrics_port}")
            )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET /other HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"\xff\r\n\r\n", b"404 Not Found"),
    ],
)
async def test_it_knows_get_and_one_path(request_: bytes, status: bytes) -> None:
    async with await start_server(API, Parts(servicer=EchoServicer({}), metrics_listen="127.0.0.1:0")) as running:
        assert (await fetch(running.metrics_port, request_)).startswith(b"HTTP/1.1 " + status + b"\r\n")


async def test_head_answers_without_the_text() -> None:
    async with await start_server(API, Parts(servicer=EchoServicer({}), metrics_listen="127.0.0.1:0")) as running:
        answer = await fetch(running.metrics_port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n")


async def test_a_request_of_any_length_is_not_read() -> None:
    async with await start_server(API, Parts(servicer=EchoServicer({}), metrics_listen="127.0.0.1:0")) as running:
        with contextlib.suppress(ConnectionError):
            assert await fetch(running.metrics_port, b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 100_000) == b""
        assert await scrape(running.metrics_port)


async def test_so_many_connections_at_a_time_and_no_more() -> None:
    endpoint = MetricsEndpoint(Metrics())
    await endpoint.listen("127.0.0.1:0")
    silent = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(8)]
    try:
        with contextlib.suppress(ConnectionError):
            assert await fetch(endpoint.port) == b"", "one more is ended at once"
        await endpoint.close()
        for reader, _ in silent:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b"", "they end with the endpoint"
    finally:
        for _, writer in silent:
            writer.close()
        await endpoint.close()
