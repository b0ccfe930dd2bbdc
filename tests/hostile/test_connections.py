"""What a stranger can do with connections and headers alone costs nobody else anything."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.gateway.http2 import GRPC_HEADERS, Http2Client, native_call
from tests.hostile.harness import System

STREAMS = 4200
STREAMS_EACH = 100
SERVICES = (
    "ingest.v1.IngestService/CheckHealth",
    "identity.v1.IdentityService/GetProfile",
    "stats.v1.StatsService/GetMetrics",
)
MALFORMED_DEADLINES = ("abc", "1", "S", "1s", "123456789S", "-1S")
LONG = 10 << 20
LONG_STREAMS = (
    "/dmp.ingest.v1.IngestService/PublishEventStream",
    "/dmp.ingest.v1.IngestService/PublishEventStreamJson",
    "/dmp.stats.v1.StatsService/ReplaceReferenceUsers",
)
HELD_SECONDS = 2.0


def test_malformed_deadlines_poison_nobody_elses_calls(system: System) -> None:
    def attack() -> None:
        for service in SERVICES:
            for deadline in MALFORMED_DEADLINES:
                native_call(system.url, f"/dmp.{service}", [("grpc-timeout", deadline)])
                native_call(system.url, f"/dmp.{service}", [("x!a", deadline), ("lb-cost-bin", "!")])

    system.assert_nobody_else_is_harmed_by(attack)


def open_native_stream(client: Http2Client) -> None:
    client.send("POST", "/dmp.ingest.v1.IngestService/PublishEventStream", GRPC_HEADERS, end=False)


def open_table_stream(client: Http2Client) -> None:
    client.send("POST", "/dmp.stats.v1.StatsService/ReplaceReferenceUsers", GRPC_HEADERS, end=False)


def open_native_call(client: Http2Client) -> None:
    client.send("POST", "/dmp.identity.v1.IdentityService/GetProfile", GRPC_HEADERS, end=False)


def watch(client: Http2Client) -> None:
    client.send("GET", "/live")


def hold(system: System, opening: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    """Holds for a while what is opened; nobody else is harmed by it."""
    system.assert_nobody_else_is_harmed_by(
        lambda: time.sleep(HELD_SECONDS),  # how long it is held is the attack
        opening=opening,
    )


@pytest.mark.parametrize("opened", [open_native_stream, open_table_stream, open_native_call, watch])
def test_thousands_of_idle_streams_take_nobodys_place(system: System, opened: Callable[[Http2Client], None]) -> None:
    @contextlib.contextmanager
    def streams() -> Iterator[None]:
        with contextlib.ExitStack() as held:
            for _ in range(STREAMS // STREAMS_EACH):
                client = held.enter_context(Http2Client(system.url))
                for _ in range(STREAMS_EACH):
                    opened(client)
            yield

    hold(system, streams)


@contextlib.contextmanager
def connected(system: System, *, receive_buffer: int = 0) -> Iterator[socket.socket]:
    parts = urlsplit(system.url)
    with socket.socket() as connection:
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(10)
        connection.connect((parts.hostname, parts.port))
        yield connection


def test_half_sent_bodies_are_held_within_bounds(system: System) -> None:
    half = b"[" + b" " * (1 << 20)

    @contextlib.contextmanager
    def bodies() -> Iterator[None]:
        with contextlib.ExitStack() as held:
            for _ in range(150):
                connection = held.enter_context(connected(system))
                with contextlib.suppress(OSError):
                    connection.sendall(b"POST /events HTTP/1.1\r\nhost: dmp\r\ncontent-length: 2097152\r\n\r\n" + half)
            yield

    hold(system, bodies)


def test_long_messages_of_streams_are_held_by_nobody(system: System) -> None:
    """gRPC's library would hold each of them, up to 4 GiB, until its end."""
    half = b"\0" + (1 << 30).to_bytes(4, "big") + b"x" * LONG

    @contextlib.contextmanager
    def messages() -> Iterator[None]:
        with contextlib.ExitStack() as held:
            for path in LONG_STREAMS:
                client = held.enter_context(Http2Client(system.url))
                for _ in range(30):
                    client.send("POST", path, GRPC_HEADERS, body=half, end=False)
            yield

    hold(system, messages)
