"""CONTRACT 5: health, interactive documentation, the OpenAPI document; and what a browser needs."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.contracts.answers import post_events
from tests.contracts.payloads import Json, campaign_event, fresh_email

PATHS = {
    "/events": {"post"},
    "/stats": {"get"},
    "/metrics": {"get"},
    "/users/{internal_user_id}": {"get"},
    "/debug/match": {"get"},
    "/merge": {"post"},
    "/identify": {"post"},
    "/reference/users": {"put"},
    "/health": {"get"},
    "/healthz": {"get"},
}


@pytest.mark.parametrize(("path", "name", "value"), [("/healthz", "ok", True), ("/health", "status", "healthy")])
def test_a_healthy_system_says_so(api: httpx.Client, path: str, name: str, value: object) -> None:
    response = api.get(path)
    assert response.status_code == 200
    assert response.json()[name] == value


def test_health_names_nothing_that_is_missing(api: httpx.Client) -> None:
    assert not api.get("/health").json().get("degraded")


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> Json:
    """The OpenAPI document."""
    response = api.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    answer: Json = response.json()
    return answer


def test_the_openapi_document_is_valid(document: Json) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_the_openapi_document_names_every_path_of_the_contract(document: Json) -> None:
    for path, methods in PATHS.items():
        assert methods <= set(document["paths"][path]), path


def test_the_openapi_document_names_only_paths_that_answer(document: Json, api: httpx.Client) -> None:
    for path, operations in document["paths"].items():
        for method in operations:
            if method in ("get", "put", "post", "delete", "patch"):
                with api.stream(method, re.sub(r"\{[^}]*\}", "user_0", path)) as response:  # some never end
                    assert response.status_code not in (405, 501), (method, path)
                    if response.status_code == 404:
                        response.read()
                        assert "resolve" not in response.json()["error"]["message"].lower(), (method, path)


def test_the_openapi_document_names_the_statuses_of_ingest(document: Json) -> None:
    assert {"202", "400", "413", "422", "429", "503"} <= set(document["paths"]["/events"]["post"]["responses"])
    assert {"200", "400", "409", "413"} <= set(document["paths"]["/reference/users"]["put"]["responses"])


def assert_fits(document: Json, path: str, method: str, response: httpx.Response) -> None:
    """The answer fits the schema that the document has for it."""
    operation = document["paths"][path][method]["responses"]
    described = operation.get(str(response.status_code), operation.get("default"))
    assert described is not None, (path, response.status_code)
    while "$ref" in described:
        described = _resolve(document, described["$ref"])
    schema = described["content"]["application/json"]["schema"]
    validator = OAS31Validator({**schema, "components": document.get("components", {})})
    assert [error.message for error in validator.iter_errors(response.json())] == [], (path, response.text[:500])


def _resolve(document: Json, reference: str) -> Json:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def test_answers_fit_the_openapi_document(document: Json, api: httpx.Client) -> None:
    event = campaign_event(identifiers={"email": fresh_email()})
    accepted = post_events(api, event)
    profile = accepted.json()["results"][0]["internal_user_id"]
    assert_fits(document, "/events", "post", accepted)
    assert_fits(document, "/events", "post", post_events(api, [event, {}, {**event, "type": "view"}]))
    assert_fits(document, "/events", "post", post_events(api, {}))
    assert_fits(document, "/events", "post", api.post("/events", content=b"{"))
    assert_fits(document, "/users/{internal_user_id}", "get", api.get(f"/users/{profile}"))
    assert_fits(document, "/users/{internal_user_id}", "get", api.get("/users/user_0"))
    params = {"identifier": "email", "value": event["identifiers"]["email"]}
    assert_fits(document, "/debug/match", "get", api.get("/debug/match", params=params))
    assert_fits(document, "/debug/match", "get", api.get("/debug/match"))
    assert_fits(document, "/merge", "post", api.post("/merge", json={"internal_user_ids": [profile]}))
    assert_fits(document, "/identify", "post", api.post("/identify", json={"email": fresh_email()}))
    assert_fits(document, "/identify", "post", api.post("/identify", json={}))
    stats = {"campaign_id": event["campaign_id"], "from": "2026-02-10T21:00:00Z", "to": "2026-02-10T21:59:00Z"}
    assert_fits(document, "/stats", "get", api.get("/stats", params=stats))
    assert_fits(document, "/stats", "get", api.get("/stats"))
    assert_fits(document, "/metrics", "get", api.get("/metrics"))
    assert_fits(document, "/metrics", "get", api.get("/metrics", params={"window": 0}))
    assert_fits(document, "/reference/users", "put", api.put("/reference/users", json={}))
    assert_fits(document, "/health", "get", api.get("/health"))
    assert_fits(document, "/healthz", "get", api.get("/healthz"))


def test_docs_is_a_page_that_needs_nobody_else(api: httpx.Client) -> None:
    response = api.get("/docs", follow_redirects=True)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "swagger" in response.text.lower()
    links = re.findall(r"""(?:src|href)=["']([^"']+)["']""", response.text)
    assert links
    scripts = ""
    for link in links:
        assert not re.match(r"(https?:)?//", link), f"{link} is somewhere else"
        if link.startswith("data:"):
            continue
        loaded = api.get(urljoin(str(response.url), link))
        assert loaded.status_code == 200, link
        kind = loaded.headers["content-type"]
        if link.endswith(".js"):
            assert "javascript" in kind
            scripts += loaded.text
        if link.endswith(".css"):
            assert "text/css" in kind
    assert "/openapi.json" in response.text + scripts


def test_a_page_elsewhere_may_ask_before_it_posts(api: httpx.Client) -> None:
    headers = {
        "origin": "https://shop.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, idempotency-key, prefer",
    }
    response = api.options("/events", headers=headers)
    assert response.status_code in (200, 204)
    assert response.headers["access-control-allow-origin"] in ("*", "https://shop.example.org")
    assert "POST" in response.headers["access-control-allow-methods"]
    allowed = {name.strip().lower() for name in response.headers["access-control-allow-headers"].split(",")}
    assert allowed == {"*"} or {"content-type", "idempotency-key", "prefer"} <= allowed


def test_a_page_elsewhere_may_read_the_answer(api: httpx.Client) -> None:
    for response in (
        post_events(api, campaign_event(), Origin="https://shop.example.org"),
        post_events(api, {}, Origin="https://shop.example.org"),
        api.post("/events", content=b"{", headers={"origin": "https://shop.example.org"}),
    ):
        assert response.headers["access-control-allow-origin"] in ("*", "https://shop.example.org")
