"""Sends events over native gRPC instead of HTTP/1.1 and JSON: the same bytes, the same verdicts, on the same port.

It needs `dmp-client[grpc]`. The channel belongs to one process and is made at the first request in it: a channel that
came with a fork hangs.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import msgspec
from google.api import httpbody_pb2
from google.rpc import error_details_pb2, status_pb2

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_client.http import Connection, NoReplyError, Reply, Request

_HTTP_STATUS: Final[Mapping[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
}
_NO_REPLY: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}
)
_OPTIONS: Final = (("grpc.keepalive_time_ms", 30_000), ("grpc.max_receive_message_length", 16 << 20))


class GrpcTransport:
    """Exchanges the requests of `POST /events` for replies, as HttpTransport does. Raises NoReplyError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: tuple[int, grpc.Channel] | None = None

    def exchange(self, request: Request, *, timeout_seconds: float | None = None) -> Reply:
        """One attempt."""
        metadata: tuple[tuple[str, str], ...] = (("prefer", request.prefer),) if request.prefer else ()
        if self._connection.api_key is not None:
            metadata += (("authorization", f"Bearer {self._connection.api_key}"),)
        call = self._stub().PublishEventsJson.with_call
        body = request.body or b""
        if request.encoding == "gzip":
            body = gzip.decompress(body)  # gRPC packs messages itself
        try:
            answer, context = call(
                pb.PublishEventsJsonRequest(body=httpbody_pb2.HttpBody(data=body)),
                timeout=timeout_seconds or self._connection.timeout_seconds,
                metadata=metadata,
                compression=grpc.Compression.Gzip,
            )
        except grpc.RpcError as error:
            return _refused(error)
        said = dict(context.initial_metadata() or ())
        status = int(said.get("x-http-status", 202))
        return Reply(status=status, body=answer.body.data, headers={}, retry_after=None)

    def close(self) -> None:
        """Closes the channel, if it is this process's."""
        channel, self._channel = self._channel, None
        if channel is not None and channel[0] == os.getpid():
            channel[1].close()

    def _stub(self) -> ingest_service_pb2_grpc.IngestServiceStub:
        channel = self._channel
        if channel is None or channel[0] != os.getpid():
            channel = self._channel = (os.getpid(), _open(self._connection.url))
        return ingest_service_pb2_grpc.IngestServiceStub(channel[1])


def _open(url: str) -> grpc.Channel:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return grpc.secure_channel(f"{parts.hostname}:{parts.port or 443}", grpc.ssl_channel_credentials(), _OPTIONS)
    return grpc.insecure_channel(f"{parts.hostname}:{parts.port or 80}", _OPTIONS)


def _refused(error: Any) -> Reply:  # noqa: ANN401 - gRPC's errors are calls, which their type does not say
    """The reply that JSON would have brought. Raises NoReplyError if there was none."""
    code: grpc.StatusCode = error.code()
    if code in _NO_REPLY:
        raise NoReplyError(f"no answer from the gateway ({code.name})", sent=True) from None
    status = _HTTP_STATUS.get(code, 500)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _reason(error) == "TOO_LARGE":
        status = 413
    body = {"error": {"status": code.name, "message": str(error.details())}}
    return Reply(status=status, body=msgspec.json.encode(body), headers={}, retry_after=None)


def _reason(error: Any) -> str:  # noqa: ANN401 - see above
    """The machine-readable reason; empty for errors of the gateway and of gRPC itself."""
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""
