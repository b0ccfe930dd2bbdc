"""HTTP/2 by hand, for what a client library hides or does not let pass: trailers, odd headers, open streams."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from tests.contracts.wire import open_connection

Header = tuple[str | bytes, str | bytes]


class Http2Client:
    """One connection, to `http://host:port`, `https://host:port` or `unix:/path`. Headers go out as they are given. Any
    read raises TimeoutError after 15 s without a byte.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._authority = parts.netloc or "localhost"
        self._scheme = "https" if parts.scheme == "https" else "http"
        self._socket = _connected(base_url)
        configuration = H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self._connection = H2Connection(config=configuration)
        self._connection.initiate_connection()
        self.events: dict[int, list[Event]] = {}
        self._flush()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def concurrent_streams(self) -> int:
        """How many streams the server allows at a time, once its settings are here."""
        return self._connection.remote_settings.max_concurrent_streams

    def close(self) -> None:
        self._socket.close()

    def send(
        self, method: str, path: str, headers: Sequence[Header] = (), *, body: bytes = b"", end: bool = True
    ) -> int:
        """Sends a request, with its end or without; returns the number of its stream."""
        stream = self._connection.get_next_available_stream_id()
        head: list[Header] = [
            (":method", method), (":path", path), (":scheme", self._scheme), (":authority", self._authority), *headers
        ]  # fmt: skip
        self._connection.send_headers(stream, head, end_stream=end and not body)
        self.events[stream] = []
        self._flush()
        if body:
            self._send_body(stream, body, end)
        return stream

    def more(self, stream: int, body: bytes, *, end: bool) -> None:
        """Sends more of a body, in frames of its own."""
        self._send_body(stream, body, end)

    def wait(self, stream: int) -> list[Event]:
        """All events of the stream, once it has ended. Raises ConnectionError when the connection ends before."""
        while not self._is_over(stream):
            self.receive()
        return self.events[stream]

    def receive(self) -> None:
        """Takes in what comes next, whatever stream it belongs to."""
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed before the end of the answer")
        for event in self._connection.receive_data(data):
            number = getattr(event, "stream_id", None)
            if isinstance(event, DataReceived):
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            if number in self.events:
                self.events[number].append(event)
        self._flush()

    def _send_body(self, stream: int, body: bytes, end: bool) -> None:
        """Sends a body as fast as the server takes it, or as much of it as comes before the answer's end."""
        position = 0
        while position < len(body) and not self._is_over(stream):
            room = min(self._connection.local_flow_control_window(stream), self._connection.max_outbound_frame_size)
            if room == 0:
                self.receive()
                continue
            piece = body[position : position + room]
            position += len(piece)
            self._connection.send_data(stream, piece, end_stream=end and position == len(body))
            self._flush()

    def _is_over(self, stream: int) -> bool:
        return any(isinstance(event, StreamEnded | StreamReset) for event in self.events[stream])

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())


def _connected(base_url: str) -> socket.socket:
    parts = urlsplit(base_url)
    if parts.scheme != "unix":
        return open_connection(base_url, http2=True)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(15)
    connected.connect(parts.path)
    return connected


def http2_get(base_url: str, path: str) -> list[Event]:
    """Sends one request on a connection of its own and returns all events up to the end of its answer."""
    with Http2Client(base_url) as client:
        return client.wait(client.send("GET", path))


GRPC_HEADERS: tuple[Header, ...] = (("content-type", "application/grpc"), ("te", "trailers"))
EMPTY_MESSAGE = b"\0\0\0\0\0"


def headers_of(events: Sequence[Event]) -> dict[str, str]:
    """Headers and trailers of an answer in one."""
    return {
        name.decode(): value.decode("latin-1")
        for event in events
        if isinstance(event, ResponseReceived | TrailersReceived)
        for name, value in event.headers or ()
    }


def body_of(events: Sequence[Event]) -> bytes:
    """The body of an answer."""
    return b"".join(event.data or b"" for event in events if isinstance(event, DataReceived))


def native_call(base_url: str, method: str, headers: Sequence[Header] = ()) -> dict[str, str]:
    """One native call with an empty message; returns headers and trailers of its answer."""
    with Http2Client(base_url) as client:
        return headers_of(client.wait(client.send("POST", method, (*GRPC_HEADERS, *headers), body=EMPTY_MESSAGE)))
