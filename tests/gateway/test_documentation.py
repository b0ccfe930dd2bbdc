"""The documentation is served from files, as it is, and needs no other site."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from dmp_stack.programs import documentation_directory, repository_root
from tests.gateway.conftest import Backends


def test_the_document_arrives_as_it_is(api: httpx.Client, backends: Backends) -> None:
    response = api.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.content == (repository_root() / "gateway" / "openapi.json").read_bytes()
    assert json.loads(response.content)["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("swagger-ui-dist/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui-dist/swagger-ui.css", "text/css; charset=utf-8"),
        ("swagger-ui-dist/favicon-32x32.png", "image/png"),
        ("redoc/bundles/redoc.standalone.js", "text/javascript; charset=utf-8"),
    ],
)
def test_swagger_ui_and_redoc_arrive_as_they_are_packaged(
    api: httpx.Client, backends: Backends, name: str, content_type: str
) -> None:
    response = api.get(f"/docs/{name.rpartition('/')[2]}")
    assert response.headers["content-type"] == content_type
    assert response.content == (documentation_directory() / name).read_bytes()


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc", "/redoc/"])
def test_the_page_needs_no_other_site(api: httpx.Client, backends: Backends, path: str) -> None:
    page = api.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) >= 8
    for link in links:
        assert link.startswith("/")
        assert api.get(link).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/console", "/openapi.json", "/docs/swagger-ui-bundle.js"])
def test_head_answers_as_get_without_the_body(api: httpx.Client, backends: Backends, path: str) -> None:
    head, get = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


def test_the_first_page_is_the_console(api: httpx.Client, backends: Backends) -> None:
    response = api.get("/")
    assert response.status_code == 302
    assert httpx.URL(response.headers["location"]).path == "/console"
