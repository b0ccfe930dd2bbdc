"""A server between the client under test and the real gateway: it passes requests on, or does what a network may do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer that the gateway did not give."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


_KEPT = ("content-type", "retry-after")
_FOR_PAGES = "access-control-"
"""What is passed back of the gateway's headers."""

Behaviour = Callable[[Seen], Said | None]
"""What to answer; None passes the request on."""


class _Connections:
    """The connections that handlers serve, so that none of them outlives the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ending = False

    def begin(self, connection: socket.socket) -> None:
        """A handler serves this one from now on."""
        with self._lock:
            self._open.add(connection)
            if self._ending:
                _read_no_more(connection)

    def end(self, connection: socket.socket) -> None:
        """Its handler is done."""
        with self._lock:
            self._open.discard(connection)

    def read_no_more(self) -> None:
        """Handlers finish the request they are at, and find no other."""
        with self._lock:
            self._ending = True
            for connection in self._open:
                _read_no_more(connection)


def _read_no_more(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RD)


class Interposed:
    """Where the client connects. `behaviour` may be changed at any time; `seen` has every request in order."""

    def __init__(self, gateway_url: str) -> None:
        self.behaviour: Behaviour = lambda _: None
        self.seen: list[Seen] = []
        self.answered = 0
        self.open = threading.Event()
        self.open.set()
        self._gateway = httpx.Client(base_url=gateway_url, timeout=30.0, trust_env=False)
        self._connections = _Connections()
        interposed, connections = self, self._connections

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                connections.begin(self.connection)

            def finish(self) -> None:
                connections.end(self.connection)
                super().finish()

            def log_message(self, *_: object) -> None:
                pass

            def _serve(self) -> None:
                interposed.serve(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - names of the standard library

        class Server(ThreadingHTTPServer):
            daemon_threads = False  # so that closing it waits for its handlers

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that go away in the middle are what is tested."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        length = int(handler.headers.get("content-length", "0"))
        body = handler.rfile.read(length)
        if len(body) < length:
            handler.close_connection = True
            return
        headers = {name.lower(): value for name, value in handler.headers.items()}
        seen = Seen(method=handler.command, path=handler.path, headers=headers, body=body)
        self.seen.append(seen)
        self.open.wait(60)
        said = self.behaviour(seen) or self._pass_on(seen)
        handler.send_response(said.status)
        for name, value in said.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(said.body)))
        handler.end_headers()
        handler.wfile.write(said.body)
        self.answered += 1

    def _pass_on(self, seen: Seen) -> Said:
        dropped = {"host", "content-length", "connection", "accept-encoding"}
        headers = {name: value for name, value in seen.headers.items() if name not in dropped}
        response = self._gateway.request(seen.method, seen.path, content=seen.body, headers=headers)
        kept = {name: value for name, value in response.headers.items() if name in _KEPT or name.startswith(_FOR_PAGES)}
        return Said(status=response.status_code, body=response.content, headers=kept)

    def close(self) -> None:
        """Ends it; nothing connects any more, and no request is under way.

        The client towards the gateway is closed last: one that is closed while a handler opens a connection with it
        leaves that connection open.
        """
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._connections.read_no_more()
        self._server.server_close()
        self._gateway.close()


@contextmanager
def interposed(gateway_url: str) -> Iterator[Interposed]:
    """One that runs while the block does."""
    between = Interposed(gateway_url)
    try:
        yield between
    finally:
        between.close()


def failing(times: int, said: Said) -> Behaviour:
    """Answers so the first few times, then passes on."""
    left = iter(range(times))
    return lambda _: said if next(left, None) is not None else None
