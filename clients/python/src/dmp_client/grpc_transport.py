"""Sends events over one gRPC stream instead of HTTP/1.1: the same bytes, the same verdicts, on the same port.

It needs `dmp-client[grpc]`. Channel and stream belong to one process and are opened by the first request in it: a
channel that came with a fork hangs, and so does one that is made after a fork while gRPC was busy. So nothing is open
while a process forks. What had no answer is sent again over a new channel.
"""

from __future__ import annotations

import os
import ssl
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_client.event_stream import EventStream
from dmp_client.http import Connection, HttpTransport, NoReplyError, Reply, Request

_MOST_BYTES: Final = 1 << 20
"""Of one body as it is sent; the service takes no more."""
_FORK_SECONDS: Final = 0.5


class GrpcTransport:
    """Exchanges the requests of `POST /events` for replies, as HttpTransport does. Raises NoReplyError.

    Also sends requests ahead of the answers to those before them, see `begin`. One thread uses it; any may close it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pid = os.getpid()
        self._channel: grpc.Channel | None = None
        self._stream: EventStream | None = None
        self._without_threads: HttpTransport | None = None
        _TRANSPORTS.add(self)

    def begin(self, request: Request) -> Callable[[float | None], Reply]:
        """Sends a request; what is returned waits for its reply, for so many seconds at most.

        Replies come in the order of the requests. Raises NoReplyError when it is called and there is none.
        """
        body = request.body or b""
        if len(body) > _MOST_BYTES:
            return lambda _: Reply(status=413, body=b"", headers={}, retry_after=None)
        message = pb.PublishEventStreamJsonRequest(body=body, minimal_results="minimal" in request.prefer)
        try:
            stream, answer = self._send(message)
        except RuntimeError:
            # Python starts no threads while it ends, and gRPC needs some. The same bytes mean the same over HTTP.
            return lambda seconds: self._exchange_without_threads(request, seconds)
        return lambda seconds: self._wait(stream, answer, seconds or self._connection.timeout_seconds)

    def exchange(self, request: Request, *, timeout_seconds: float | None = None) -> Reply:
        """One attempt."""
        return self.begin(request)(timeout_seconds)

    def close(self) -> None:
        """Ends the stream and closes the channel, if they are this process's."""
        if self._pid != os.getpid():
            return
        with _OPENING.lock:
            self.drop()
            if self._without_threads is not None:
                self._without_threads.close()

    def _send(self, message: pb.PublishEventStreamJsonRequest) -> tuple[EventStream, Future[Reply]]:
        with _OPENING.lock:
            answer = None if self._stream is None else self._stream.send(message)
            if self._stream is not None and answer is not None:
                return self._stream, answer
            if self._stream is not None and self._stream.has_failed:
                self.drop()
            if self._channel is None:
                self._channel = _open(self._connection)
            stub = ingest_service_pb2_grpc.IngestServiceStub(self._channel)
            self._stream = EventStream(stub, _metadata(self._connection), message)
            return self._stream, self._stream.first

    def drop(self) -> EventStream | None:
        """Gives channel and stream up; the lock is held. What was dropped may still be ending."""
        stream, self._stream = self._stream, None
        channel, self._channel = self._channel, None
        if stream is not None:
            stream.cancel()
        if channel is not None:
            channel.close()
        return stream

    def _wait(self, stream: EventStream, answer: Future[Reply], seconds: float) -> Reply:
        try:
            return answer.result(seconds)
        except TimeoutError:
            # Whatever is at the other end of this connection, it does not answer: the next attempt makes another.
            with _OPENING.lock:
                if stream is self._stream:
                    self.drop()
            stream.cancel()
            raise NoReplyError("no answer from the gateway in time", sent=True) from None

    def _exchange_without_threads(self, request: Request, seconds: float | None) -> Reply:
        if self._without_threads is None:
            self._without_threads = HttpTransport(self._connection)
        return self._without_threads.exchange(request, timeout_seconds=seconds)


def _metadata(connection: Connection) -> tuple[tuple[str, str], ...]:
    return () if connection.api_key is None else (("authorization", f"Bearer {connection.api_key}"),)


def _open(connection: Connection) -> grpc.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.primary_user_agent", "dmp-client/0.1"),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.max_receive_message_length", 16 << 20),
        # The delivery decides when it is time to connect again; how long connecting may take is said by this option.
        ("grpc.min_reconnect_backoff_ms", round(connection.connect_seconds * 1000)),
        # What another channel of the process found out about the address is not asked.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if connection.proxy is not None:
        options.append(("grpc.http_proxy", connection.proxy))
    parts = urlsplit(connection.url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.scheme == "https":
        return grpc.secure_channel(f"{host}:{parts.port or 443}", grpc.ssl_channel_credentials(_authorities()), options)
    return grpc.insecure_channel(f"{host}:{parts.port or 80}", options)


def _authorities() -> bytes | None:
    """Whom Python believes: the file of SSL_CERT_FILE, or the system's. None: those that came with gRPC."""
    path = Path(ssl.get_default_verify_paths().cafile or "")
    return path.read_bytes() if path.is_file() else None


class _Opening:
    """Whoever opens or drops a stream holds the lock, and so does whoever forks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_OPENING: Final = _Opening()
_TRANSPORTS: Final[weakref.WeakSet[GrpcTransport]] = weakref.WeakSet()


def _before_fork() -> None:
    """Closes every stream and opens none until the fork is over. It takes a few milliseconds."""
    _OPENING.lock.acquire()
    dropped = [transport.drop() for transport in list(_TRANSPORTS)]
    for stream in dropped:
        if stream is not None:
            stream.join(_FORK_SECONDS)


def _after_fork_in_parent() -> None:
    _OPENING.lock.release()


def _after_fork_in_child() -> None:
    _OPENING.lock = threading.Lock()
    _TRANSPORTS.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
