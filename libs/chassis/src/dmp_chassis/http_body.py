"""For RPCs that answer `google.api.HttpBody`: JSON bytes as they are, with an HTTP status of their own."""

from __future__ import annotations

import math
from typing import Any

import grpc
from google.api import httpbody_pb2


def json_body(data: bytes) -> httpbody_pb2.HttpBody:
    """An answer of JSON bytes."""
    return httpbody_pb2.HttpBody(content_type="application/json", data=data)


def came_through_gateway(context: grpc.aio.ServicerContext[Any, Any]) -> bool:
    """True when the gateway made this call out of an HTTP request, false for a native gRPC caller."""
    return any(name == "x-envoy-original-path" for name, _ in context.invocation_metadata() or ())


async def send_http_status(
    context: grpc.aio.ServicerContext[Any, Any], status: int, *, retry_after_seconds: float | None = None
) -> None:
    """Sends the initial metadata that make the gateway answer with this HTTP status, and with `retry-after` if given.

    To be called at most once for each call, before the answer.
    """
    metadata = [("x-http-status", str(status))]
    if retry_after_seconds is not None:
        metadata.append(("retry-after", whole_seconds(retry_after_seconds)))
    await context.send_initial_metadata(tuple(metadata))


def whole_seconds(seconds: float) -> str:
    """A delay as HTTP's `retry-after` spells it: whole seconds, rounded up, at least 1."""
    return str(max(1, math.ceil(seconds)))
