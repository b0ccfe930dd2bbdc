"""What every error of the gateway has in common, checked in one place."""

from __future__ import annotations

from typing import Any

import httpx
from google.api.httpbody_pb2 import HttpBody

Json = dict[str, Any]


def assert_error(response: httpx.Response, code: int, status: str) -> Json:
    """The error envelope and nothing of gRPC around it; returns the inside of `error`."""
    assert response.status_code == code, (response.status_code, response.text[:300])
    assert response.headers["content-type"] == "application/json"
    assert not [name for name in response.headers if name.startswith(("grpc-", "x-http-", "x-envoy-"))]
    document: Json = response.json()
    assert set(document) == {"error"}
    error: Json = document["error"]
    assert set(error) == {"code", "status", "message", "details"}
    assert (error["code"], error["status"]) == (code, status)
    assert error["message"]
    return error


def json_body(text: str) -> HttpBody:
    """A body as the services make them."""
    return HttpBody(content_type="application/json", data=text.encode())
