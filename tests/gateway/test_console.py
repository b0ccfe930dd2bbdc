"""The console's files: compressed for who takes that, under a strict policy, and a page in their place."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import httpx
import pytest

from dmp_stack import gateway as gateway_module
from dmp_stack.programs import console_directory, repository_root
from tests.gateway.conftest import Backends


@pytest.fixture(scope="module")
def site() -> Path:
    """Where `make console` has put it."""
    found = console_directory()
    assert found is not None, "run `make console`"
    return found


@pytest.fixture
def page(api: httpx.Client, backends: Backends) -> httpx.Response:
    return api.get("/console")


@pytest.mark.parametrize("path", ["/console", "/console/"])
def test_the_page_arrives_under_a_strict_policy(api: httpx.Client, backends: Backends, site: Path, path: str) -> None:
    page = api.get(path)
    assert page.content == (site / "index.html").read_bytes()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "data:" not in policy


def test_nothing_in_the_page_would_break_the_policy(page: httpx.Response) -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []
    assert re.findall(r"<style|\bstyle=|\bon\w+=|https?://", page.text) == []


@pytest.mark.parametrize("kind", ["js", "css"])
@pytest.mark.parametrize(
    ("coding", "compressed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br,gzip", True),
        ("gzip;q=0, br", False),
        ("identity", False),
        ("xgzip", False),
    ],
)
def test_a_file_comes_compressed_to_who_takes_that(
    api: httpx.Client, page: httpx.Response, site: Path, kind: str, coding: str, *, compressed: bool
) -> None:
    (link,) = re.findall(rf'"(/console/console-[0-9a-f]+\.{kind})"', page.text)
    with api.stream("GET", link, headers={"accept-encoding": coding}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert answer.headers["vary"] == "accept-encoding"
    assert (gzip.decompress(raw) if compressed else raw) == (site / f"console.{kind}").read_bytes()
    assert answer.headers["content-type"].startswith({"js": "text/javascript", "css": "text/css"}[kind])


def test_files_take_no_query_and_have_no_neighbours(api: httpx.Client, backends: Backends) -> None:
    assert api.get("/console", params={"secret": "1"}).status_code == 400
    assert api.post("/console").status_code == 405
    for path in ("/console/nothing", "/console/console.js", "/console/../envoy.yaml", "/console/a/b"):
        assert api.get(path).status_code == 404
    assert backends.ingest.calls == []


def test_without_the_packages_a_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "console_directory", lambda: None)
    paths = gateway_module._FilePaths.of_this_machine()
    absent = repository_root() / "console" / "absent" / "index.html"
    for name in ("index.html", "console.js", "console.css.gz", "icon.svg"):
        assert paths.replace(f"/etc/envoy/console/{name}") == str(absent)
    assert "could not be installed" in absent.read_text()
