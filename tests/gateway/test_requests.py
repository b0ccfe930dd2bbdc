"""What of a request reaches which service, and what the gateway refuses by itself."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.wire import exchange, request_head
from tests.gateway.answers import assert_error
from tests.gateway.conftest import Backends

SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("method", "path", "service", "rpc"),
    [
        ("POST", "/events", "ingest", "PublishEventsJson"),
        ("GET", "/events/e-1", "ingest", "GetEvent"),
        ("GET", "/health", "ingest", "CheckHealth"),
        ("GET", "/healthz", "ingest", "CheckHealth"),
        ("GET", "/users/user_a", "identity", "GetProfile"),
        ("GET", "/debug/match?identifier=email&value=a", "identity", "MatchIdentifier"),
        ("POST", "/merge", "identity", "MergeProfilesJson"),
        ("POST", "/identify", "identity", "IdentifyJson"),
        ("GET", "/stats?campaign_id=c", "stats", "RenderStats"),
        ("GET", "/metrics", "stats", "GetMetrics"),
        ("PUT", "/reference/users", "stats", "ReplaceReferenceUsersJson"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_each_path_is_its_owners(
    api: httpx.Client, backends: Backends, method: str, path: str, service: str, rpc: str, slash: str
) -> None:
    bare, mark, query = path.partition("?")
    response = api.request(method, f"{bare}{slash}{mark}{query}", content=b"{}" if method != "GET" else None)
    assert response.status_code == (202 if path == "/events" else 200), response.text
    assert getattr(backends, service).only_call().method == rpc
    assert sum(len(backend.calls) for backend in backends.all()) == 1


@pytest.mark.parametrize("content_type", ["application/json", "text/plain;charset=UTF-8", "image/png", "é", None])
def test_events_take_any_content_type(api: httpx.Client, backends: Backends, content_type: str | None) -> None:
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    assert api.post("/events", content=b'[{"a": 1}]', headers=headers).status_code == 202
    assert backends.ingest.only_call().request.body.data == b'[{"a": 1}]'


def test_a_content_type_that_is_no_text_is_refused(api: httpx.Client, backends: Backends) -> None:
    assert_error(api.post("/events", content=b"{}", headers=[(b"content-type", b"a\xff")]), 400, "INVALID_ARGUMENT")
    assert not backends.ingest.calls


def test_headers_for_the_service_arrive_and_those_of_gRPC_do_not(  # noqa: N802  # the protocol's name
    api: httpx.Client, backends: Backends
) -> None:
    headers = {
        "idempotency-key": "k-1",
        "prefer": "return=minimal",
        "accept": "text/csv",
        "x-request-id": "mine",
        "x-http-status": "500",
        "x-internal-user": "root",
        "grpc-timeout": "1n",
        "grpc-tags-bin": "%%%",
        "anything-bin": "%%%",
        "x-envoy-upstream-rq-timeout-ms": "1",
    }
    response = api.post("/events", content=b"{}", headers=headers)
    assert response.status_code == 202
    call = backends.ingest.only_call()
    assert call.metadata["idempotency-key"] == "k-1"
    assert call.metadata["prefer"] == "return=minimal"
    assert call.metadata["accept"] == "text/csv"
    assert call.metadata["x-request-id"] == response.headers["x-request-id"] != "mine"
    assert not {"x-http-status", "x-internal-user", "grpc-tags-bin", "anything-bin"} & set(call.metadata)


@pytest.mark.parametrize(
    ("method", "path", "service", "seconds"),
    [
        ("POST", "/events", "ingest", 15),
        ("GET", "/events/e-1", "ingest", 10),
        ("GET", "/health", "ingest", 10),
        ("GET", "/users/user_a", "identity", 10),
        ("POST", "/merge", "identity", 10),
        ("POST", "/identify", "identity", 10),
        ("GET", "/stats?campaign_id=c", "stats", 120),
        ("GET", "/metrics", "stats", 15),
        ("PUT", "/reference/users", "stats", 60),
    ],
)
def test_the_service_knows_how_long_it_has(
    api: httpx.Client, backends: Backends, method: str, path: str, service: str, seconds: int
) -> None:
    api.request(method, path, content=b"{}" if method != "GET" else None, headers={"grpc-timeout": "1n"})
    assert seconds - 1 < getattr(backends, service).only_call().seconds_left < seconds + 1


@pytest.mark.parametrize(
    "path",
    [
        "/stats?campaign_id=%FF",
        "/stats?campaign_id=%00",
        "/stats?campaign_id=a%C3",
        "/stats?campaign_id=%ED%A0%80",
        "/stats?campaign_id=%C0%80",
        "/stats?campaign_id=%F5%80%80%80",
        "/stats?%FF=a",
        "/debug/match?identifier=email&value=%E2%28%A1",
        "/users/%FF",
        "/users/user_%00",
        "/events/%80",
        "/events/a%00",
    ],
)
def test_text_in_the_address_is_text(api: httpx.Client, backends: Backends, path: str) -> None:
    assert_error(api.get(path), 400, "INVALID_ARGUMENT")
    assert not any(backend.calls for backend in backends.all())


@pytest.mark.parametrize("text", ["é", "日本", "🙂", "a b", "a+b", "%", "a/b", "퟿", "\u0800", "\U0010ffff"])
def test_any_text_may_stand_in_the_address(api: httpx.Client, backends: Backends, text: str) -> None:
    assert api.get("/debug/match", params={"identifier": "email", "value": text}).status_code == 200
    assert backends.identity.only_call().request.value == text


def test_an_event_id_may_have_any_character(api: httpx.Client, backends: Backends) -> None:
    assert api.get("/events/a%2Fb%3F%23%20%C3%A9%25").status_code == 200
    assert backends.ingest.only_call().request.event_id == "a/b?# é%"


@pytest.mark.parametrize(
    "query",
    [
        "internal_user_id=zz",
        "internalUserId=zz",
        "page_size=1&internal_user_id=zz",
        "internal%5Fuser%5Fid=zz",
        "internal_user_id",
        "internal_user_id.x=1",
        "INTERNAL_USER_ID=zz",
    ],
)
def test_a_parameter_cannot_replace_what_stands_in_the_path(api: httpx.Client, backends: Backends, query: str) -> None:
    assert_error(api.get(f"/users/user_a?{query}"), 400, "INVALID_ARGUMENT")
    assert not backends.identity.calls


def test_the_same_holds_for_events(api: httpx.Client, backends: Backends) -> None:
    assert_error(api.get("/events/a?event_id=b"), 400, "INVALID_ARGUMENT")
    assert not backends.ingest.calls


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/metrics?window=abc", "window"),
        ("/metrics?window=1.5", "window"),
        ("/metrics?window=99999999999", "window"),
        ("/metrics?window=%22%5C", "window"),
        ("/metrics?bogus=1", "bogus"),
        ("/metrics?a%22%5C=1", "a%22%5C"),
        ("/users/user_a?page_size=many", "page_size"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(api: httpx.Client, backends: Backends, path: str, word: str) -> None:
    error = assert_error(api.get(path), 400, "INVALID_ARGUMENT")
    assert error["message"].startswith(f"{word} ")
    assert [violation["field"] for violation in error["details"][0]["fieldViolations"]] == [word]
    assert "dmp." not in error["message"]
    assert not any(backend.calls for backend in backends.all())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/never-merges", b'{"internal_user_ids": [5]}', "internal_user_ids[0]"),
        ("/merge", b'{"reason": {"a": 1}}', ""),
        ("/merge", b'{"reason": 7}', "reason"),
    ],
)
def test_a_field_of_a_typed_body_that_does_not_fit_is_named(
    api: httpx.Client, backends: Backends, path: str, body: bytes, field: str
) -> None:
    error = assert_error(api.post(path, content=body), 400, "INVALID_ARGUMENT")
    if field:
        assert error["message"] == f"{field} must be a text"
        assert error["details"][0]["fieldViolations"][0]["field"] == field
    assert not backends.identity.calls


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/stats?campaign_id=secret1&campaign_id=secret1", "campaign_id"),
        ("/stats?campaign_id=secret1&CAMPAIGN_ID=secret2", "CAMPAIGN_ID"),
        ("/stats?campaign_id=secret1&campaign%5Fid=secret2", "campaign%5Fid"),
        ("/users/user_a?page_size=1&x=secret1&page_size=2", "page_size"),
        ("/docs?secret=secret1", "secret"),
        ("/openapi.json?a=secret1", "a"),
        ("/health?a=secret1", "a"),
    ],
)
def test_a_parameter_comes_once_and_is_known(api: httpx.Client, backends: Backends, path: str, name: str) -> None:
    response = api.get(path)
    error = assert_error(response, 400, "INVALID_ARGUMENT")
    assert [violation["field"] for violation in error["details"][0]["fieldViolations"]] == [name]
    assert "secret1" not in response.text
    assert not any(backend.calls for backend in backends.all())


def test_a_parameter_that_is_a_list_may_come_again(api: httpx.Client, backends: Backends) -> None:
    assert api.get("/stats?campaign_id=c&type=click&type=view&creative_id=a&creative_id=b").status_code == 200
    request = backends.stats.only_call().request
    assert (list(request.type), list(request.creative_id)) == (["click", "view"], ["a", "b"])
    assert api.get("/metrics?group_by=plan&group_by=region").status_code == 200
    assert_error(api.get("/metrics?group_by=plan&window=1&window=2"), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_paths_that_change_something_know_no_parameter_either(
    api: httpx.Client, backends: Backends, method: str
) -> None:
    path = {"POST": "/merge", "DELETE": "/users/user_a", "PUT": "/reference/users"}[method]
    error = assert_error(api.request(method, f"{path}?bogus=1", content=b"{}"), 400, "INVALID_ARGUMENT")
    assert error["details"][0]["fieldViolations"][0]["field"] == "bogus"
    assert not any(backend.calls for backend in backends.all())


@pytest.mark.parametrize(
    "body",
    [
        b'{"internal_user_ids": ["secret1" "secret2"]}',
        b'{"reason": secret1}',
        b'{"secret1"',
        b'"secret1"',
        b'["secret1"]',
        b'{"reason": {"secret1": 1}}',
        b'{"internal_user_ids": "' + b"secret1" * 30_000 + b"}",
        b'{"reason": ["' + b"secret1" * 30_000 + b'", {}]}',
        b'{"internal_user_ids": [{"secret1": 1}]}',
    ],
)
def test_an_error_repeats_nothing_of_the_body(api: httpx.Client, backends: Backends, body: bytes) -> None:
    response = api.post("/never-merges", content=body)
    assert_error(response, 400, "INVALID_ARGUMENT")
    assert "secret" not in response.text
    assert not backends.identity.calls


@pytest.mark.parametrize("path", ["/nope", "/users", "/users/", "/users/a/b", "/openapi.json/x", "/merge/x"])
def test_an_unknown_path_is_not_found(api: httpx.Client, backends: Backends, path: str) -> None:
    assert_error(api.get(path), 404, "NOT_FOUND")
    assert_error(api.post(path, content=b"{}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/dmp.ingest.v1.IngestService/GetEvent", "/grpc.health.v1.Health/Check"])
def test_rpcs_are_not_paths_for_json(api: httpx.Client, backends: Backends, path: str) -> None:
    assert_error(api.post(path, json={}), 404, "NOT_FOUND")
    assert not backends.ingest.calls


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/events", "POST, OPTIONS"),
        ("/events/", "POST, OPTIONS"),
        ("/events/e-1", "GET, HEAD, OPTIONS"),
        ("/merges/m:undo", "POST, OPTIONS"),
        ("/users/user_a/graph", "GET, HEAD, OPTIONS"),
        ("/reference/users/u-1", "GET, HEAD, OPTIONS"),
        ("/identify", "POST, OPTIONS"),
        ("/reference/users", "PATCH, PUT, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_known_path_names_its_methods(api: httpx.Client, backends: Backends, path: str, allow: str) -> None:
    response = api.delete(path)
    error = assert_error(response, 405, "UNIMPLEMENTED")
    assert "DELETE" in error["message"]
    assert response.headers["allow"] == allow
    options = api.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")
    assert not any(backend.calls for backend in backends.all())


def test_a_browser_of_another_origin_may_post_events(api: httpx.Client, backends: Backends) -> None:
    asked = "content-type, idempotency-key, prefer, traceparent, x-api-key, x-requested-with"
    headers = {"origin": SHOP, "access-control-request-method": "POST", "access-control-request-headers": asked}
    preflight = api.options("/events", headers=headers)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == SHOP
    assert "POST" in preflight.headers["access-control-allow-methods"]
    allowed = {name.strip() for name in preflight.headers["access-control-allow-headers"].split(",")}
    assert allowed >= set(asked.split(", "))
    # A beacon with a JSON Blob is sent with credentials, and a browser takes nothing less than these two for an answer.
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert not backends.ingest.calls
    for body, status in ((b"{}", 202), (b"x" * 9_000_000, 413)):
        response = api.post("/events", content=body, headers={"origin": SHOP})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == SHOP
        assert response.headers["access-control-allow-credentials"] == "true"
        assert "retry-after" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/users/user_a", "/identify", "/merge", "/stats", "/nope"])
def test_a_browser_of_another_origin_may_do_nothing_else(api: httpx.Client, backends: Backends, path: str) -> None:
    headers = {"origin": SHOP, "access-control-request-method": "POST", "access-control-request-headers": "x-a"}
    for response in (api.options(path, headers=headers), api.get(path, headers={"origin": SHOP})):
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /stats HTTP/1.1\r\n\r\n",
        b"GET /stats HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"GET /st\xffats HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n",
        b"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_answered_as_json(gateway_url: str, backends: Backends, request_bytes: bytes) -> None:
    answer = exchange(gateway_url, [request_bytes])
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [[("X-Large", "x" * 70_000)], [(f"X-{number}", "x") for number in range(120)]],
)
def test_too_many_headers_are_answered_as_json(gateway_url: str, headers: list[tuple[str, str]]) -> None:
    answer = exchange(gateway_url, [request_head("GET", "/stats", headers)])
    assert answer.status == 431
    assert answer.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.2", "something"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/events"), ("GET", "/healthz"), ("GET", "/users/user_a")])
def test_a_wish_to_upgrade_is_ignored(
    api: httpx.Client, backends: Backends, method: str, path: str, protocol: str
) -> None:
    """*Source:* RFC 9110, section 7.8: a server may."""
    headers = {"connection": "upgrade", "upgrade": protocol}
    response = api.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    assert response.is_success, response.text
    assert sum(len(backend.calls) for backend in backends.all()) == 1


def test_a_proxy_that_speaks_http_1_0_is_served(gateway_url: str, backends: Backends) -> None:
    head = b"POST /events HTTP/1.0\r\ncontent-length: 2\r\n\r\n"
    answer = exchange(gateway_url, [head, b"{}"])
    assert answer.status == 202
    assert backends.ingest.only_call().request.body.data == b"{}"
