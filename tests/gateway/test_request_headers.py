"""Which headers reach the services, and what names and values may be."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from dmp_stack.gateway import Gateway
from tests.conditions import wait_until
from tests.contracts.wire import exchange, request_head
from tests.gateway.backends import Backend
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.http2 import native_call

NOT_GRPC = [
    "application/grpc;x",
    "application/grpc;charset=utf-8",
    "application/grpc ;x",
    "application/grpcx",
    "application/grpc-web",
    "APPLICATION/GRPC",
    "application/grpc,application/json",
]


def test_headers_that_nobody_reads_end_here(api: httpx.Client, backends: Backends) -> None:
    headers = {"cookie": "session=secret", "authorization": "Bearer secret", "x-anything": "1", "user-agent": "a/1"}
    assert api.post("/events", content=b"{}", headers=headers).status_code == 202
    assert not set(headers) - {"user-agent"} & set(backends.ingest.only_call().metadata)


def test_native_calls_keep_all_but_cookies(gateway_url: str, backends: Backends) -> None:
    native_call(gateway_url, "/dmp.ingest.v1.IngestService/GetEvent", [("cookie", "a=b"), ("x-anything", "1")])
    metadata = backends.ingest.only_call().metadata
    assert metadata["x-anything"] == "1"
    assert "cookie" not in metadata


@pytest.mark.parametrize("size", [9_000, 15_000, 22_000])
def test_large_headers_are_no_reason_to_fail(api: httpx.Client, backends: Backends, size: int) -> None:
    for _ in range(6):
        assert api.post("/events", content=b"{}", headers={"cookie": "c" * size}).status_code == 202
        assert api.post("/events", content=b"{}", headers={"x-other": "c" * size}).status_code == 202


def test_headers_over_24_kib_are_refused(gateway_url: str, backends: Backends) -> None:
    answer = exchange(gateway_url, [request_head("POST", "/events", [("Cookie", "c" * 25_000)])])
    assert answer.status == 431
    assert not backends.ingest.calls


@pytest.mark.parametrize("name", ["idempotency-key", "prefer", "accept", "traceparent"])
def test_a_value_that_is_no_text_is_refused(api: httpx.Client, backends: Backends, name: str) -> None:
    response = api.post("/events", content=b"{}", headers=[(name.encode(), b"secret\xff\xfe")])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"{name} must be UTF-8"
    assert not backends.ingest.calls


@pytest.mark.parametrize("content_type", NOT_GRPC)
def test_only_its_own_content_types_are_native(api: httpx.Client, backends: Backends, content_type: str) -> None:
    headers = {"content-type": content_type}
    for refused in (
        api.get("/users/user_1?internal_user_id=user_2", headers=headers),
        api.get("/users/%FF", headers=headers),
        api.get("/stats?campaign_id=a&campaign_id=b", headers=headers),
    ):
        assert refused.status_code == 400
        assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert api.delete("/events", headers=headers).status_code == 405
    assert api.get("/nope", headers=headers).json()["error"]["code"] == 404
    assert not any(backend.calls for backend in backends.all())


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc+json"])
def test_json_paths_do_not_exist_for_native_calls(api: httpx.Client, backends: Backends, content_type: str) -> None:
    answer = api.post("/users/user_1?internal_user_id=user_2", headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["grpc-status"]) == (200, "12")
    assert not any(backend.calls for backend in backends.all())


def test_the_log_names_the_path_without_ids_and_values(runner: GatewayRunner) -> None:
    away = Backend()
    url = runner.run(Gateway, ingest=[away.port], identity=[away.port], stats=[away.port])
    away.close()
    log: Path = runner.log(url)
    paths = ["/debug/match?identifier=email&value=secret", "/users/secret", "/events/secret", "/reference/users/secret"]
    for path in paths:
        assert httpx.get(f"{url}{path}", trust_env=False).status_code == 503
    wait_until(lambda: log.read_text().count('"status":503') >= len(paths), "the lines of all four")
    text = log.read_text()
    assert "secret" not in text
    for path in ("/debug/match", "/users/*", "/events/*", "/reference/users/*"):
        assert f'"path":"{path}"' in text
