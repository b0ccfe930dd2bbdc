"""A shop on an origin of its own, whose pages have the snippet, in a real Chromium in front of the real gateway."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from dmp_stack.stack import Stack
from tests.clients.interposed import Interposed, Said, Seen, interposed
from tests.conditions import wait_until
from tests.console.chromium import chromium

INSECURE = "shop.example"
"""A host without TLS that is not this machine by its name: browsers keep locks from its pages."""


@dataclass(kw_only=True)
class Shop:
    """The pages of a site, each of which has the snippet.

    dmp: the DMP that the pages name. body: of every page that `bodies` does not have. source: of its events.
    attributes: more of the script's element. site: what serves the pages.
    """

    stack: Stack
    site: Interposed
    dmp: str
    source: str
    attributes: str = ""
    body: str = ""
    bodies: dict[str, str] = field(default_factory=dict)

    def answer(self, seen: Seen) -> Said:
        path = seen.path.partition("?")[0]
        body = self.bodies.get(path, self.body)
        script = f'<script src="{self.dmp}/dmp.js" data-source="{self.source}" {self.attributes}></script>'
        text = f'<!DOCTYPE html><html><head><meta charset="utf-8">{script}</head><body>{body}</body></html>'
        return self.plain(text)

    def plain(self, text: str) -> Said:
        """A page as it is."""
        return Said(status=200, body=text.encode(), headers={"content-type": "text/html; charset=utf-8"})

    def url(self, path: str = "/", *, host: str = "localhost") -> str:
        return f"http://{host}:{self.site.url.rpartition(':')[2]}{path}"

    def events(self) -> list[dict[str, Any]]:
        """What the log holds of this shop, by the time at which it happened."""
        with psycopg.connect(self.stack.database_url("ingest")) as connection:
            rows = connection.execute(
                "SELECT event_id, type, campaign_id, creative_id, identifiers, metadata FROM event"
                " WHERE source = %s ORDER BY occurred_at",
                [self.source],
            ).fetchall()
        names = ("event_id", "type", "campaign_id", "creative_id", "identifiers", "metadata")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many events of each type the log holds of this shop."""
        return dict(Counter(event["type"] for event in self.events()))

    def wait_for(self, **counts: int) -> None:
        """Returns once the log holds exactly these events; fails when there are others, or too many."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.counts() == counts, f"{counts} of {self.source}")
        assert self.counts() == counts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, which keeps pages that are left for those who come back. It ends with the module."""
    rules = f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1"
    with chromium(arguments=[rules], without=["--disable-back-forward-cache"]) as launched:
        yield launched


@pytest.fixture(scope="module")
def site(stack: Stack) -> Iterator[Interposed]:
    with interposed(stack.http_url) as serving:
        yield serving


@pytest.fixture
def shop(stack: Stack, site: Interposed) -> Shop:
    made = Shop(stack=stack, site=site, dmp=stack.http_url, source=f"shop-{secrets.token_hex(6)}")
    site.behaviour = made.answer
    return made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A session of the browser. Whatever a page throws or complains of is a failure."""
    said: list[str] = []
    made = browser.new_context(viewport={"width": 1000, "height": 700})
    made.set_default_timeout(20_000)
    made.on("weberror", lambda error: said.append(str(error.error)))
    yield made
    made.close()
    assert said == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
