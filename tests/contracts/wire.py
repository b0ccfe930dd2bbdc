"""HTTP/1.1 by hand, for requests that a polite client does not make."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 15.0
"""How long any request may take before it counts as hanging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer as it came. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The request line and the headers, with the blank line after them. `target` goes out as it is."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    """`body` in chunked transfer coding, `size` bytes a chunk."""
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def exchange(
    base_url: str, pieces: Iterable[bytes], *, half_close: bool = False, authority: Path | None = None
) -> RawAnswer:
    """Sends the pieces one by one over a connection of its own and reads one answer. authority: whom to believe, where
    the URL says https.

    Raises TimeoutError when the server takes longer than `PATIENCE_SECONDS` for any step: it hangs.
    """
    with open_connection(base_url, authority) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server answered before it had read everything, and may
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
        return RawAnswer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=body,
        )


def open_connection(base_url: str, authority: Path | None = None, *, http2: bool = False) -> socket.socket:
    """A TCP connection to the gateway that sends every piece at once. Where the URL says https it speaks TLS, and
    believes the authority, or those of this machine and of SSL_CERT_FILE."""
    parts = urlsplit(base_url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "https":
        believed = ssl.create_default_context(cafile=authority)
        believed.set_alpn_protocols(["h2" if http2 else "http/1.1"])
        return believed.wrap_socket(connection, server_hostname=parts.hostname)
    return connection
