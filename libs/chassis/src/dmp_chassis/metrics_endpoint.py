"""Lets Prometheus read a server's metrics: `GET /metrics` on a port of its own.

It knows just enough HTTP. Whatever comes is bounded: bytes of a request, time, connections.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from dmp_chassis.metrics import Metrics

_LOG: Final = logging.getLogger(__name__)
_MOST_CONNECTIONS: Final = 8
_MOST_REQUEST_BYTES: Final = 8 * 1024
_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 0.5
_END_OF_REQUEST: Final = b"\r\n\r\n"


class MetricsEndpoint:
    """Where the metrics of one server are read. Each connection has one request."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self.port = 0
        """The TCP port, 0 until it listens."""

    async def listen(self, address: str) -> None:
        """Listens on `host:port`, any free port for 0. Raises OSError if that is not possible."""
        host, _, port = address.rpartition(":")
        self._server = await asyncio.start_server(
            self._answer, host.strip("[]"), int(port), limit=_MOST_REQUEST_BYTES, backlog=_MOST_CONNECTIONS
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        _LOG.info("metrics", extra={"host": host, "port": self.port})

    async def close(self) -> None:
        """Closes the port and every connection."""
        if self._server is not None:
            self._server.close()
        # Whoever waits for bytes meets the end of the connection; who has an answer under way is not waited for long.
        tasks = tuple(self._open.values())
        for writer in tuple(self._open):
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open[writer] = task
        try:
            async with asyncio.timeout(_SECONDS):
                writer.write(await self._response(await reader.readuntil(_END_OF_REQUEST)))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            _LOG.debug("a request for the metrics was given up", exc_info=True)
        finally:
            del self._open[writer]
            writer.close()

    async def _response(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _message("404 Not Found", b"The metrics are at /metrics.\n")
        if method not in {b"GET", b"HEAD"}:
            return _message("405 Method Not Allowed", b"GET only.\n", "Allow: GET, HEAD\r\n")
        response = _message("200 OK", await self._metrics.text())
        return response if method == b"GET" else response.partition(_END_OF_REQUEST)[0] + _END_OF_REQUEST


def _message(status: str, body: bytes, headers: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE_PLAIN_0_0_4}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode() + body
