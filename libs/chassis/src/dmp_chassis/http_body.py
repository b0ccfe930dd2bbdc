"""For RPCs that answer `google.api.HttpBody`: JSON bytes as they are, with an HTTP status of their own."""

from __future__ import annotations

from typing import Any

import grpc
from google.api import httpbody_pb2


def json_body(data: bytes) -> httpbody_pb2.HttpBody:
    """An answer of JSON bytes."""
    return httpbody_pb2.HttpBody(content_type="application/json", data=data)


def came_through_gateway(context: grpc.aio.ServicerContext[Any, Any]) -> bool:
    """True when the gateway made this call out of an HTTP request, false for a native gRPC caller."""
    return any(name == "x-envoy-original-path" for name, _ in context.invocation_metadata() or ())


async def send_http_status(context: grpc.aio.ServicerContext[Any, Any], status: int) -> None:
    """Sends the initial metadata that make the gateway answer with this HTTP status.

    To be called at most once for each call, before the answer.
    """
    await context.send_initial_metadata((("x-http-status", str(status)),))
