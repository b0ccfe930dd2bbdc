"""HTTP/2 by hand, for what a client library hides: trailers."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, StreamEnded, StreamReset


def http2_get(base_url: str, path: str) -> list[Event]:
    """Sends one request on a connection of its own and returns all events up to the end of its answer.

    Raises TimeoutError after 15 s without a byte.
    """
    parts = urlsplit(base_url)
    connection = H2Connection(config=H2Configuration(client_side=True))
    connection.initiate_connection()
    head = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", parts.netloc)]
    connection.send_headers(1, head, end_stream=True)
    received: list[Event] = []
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=15) as stream:
        stream.sendall(connection.data_to_send())
        while not any(isinstance(event, StreamEnded | StreamReset) for event in received):
            data = stream.recv(65536)
            if not data:
                raise ConnectionError("closed before the end of the answer")
            received += connection.receive_data(data)
            stream.sendall(connection.data_to_send())
    return received
