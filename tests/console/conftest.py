"""The console in a real Chromium, on a system with the generator's traffic and some people whose story is known."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request

from dmp_stack.generator import Traffic, generate_events
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.console.chromium import chromium

WIDEST, WIDE, NARROW = 1920, 1440, 390
"""The widths of pages, in pixels, that are looked at."""


@pytest.fixture(scope="session")
def console_stack(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A system with six hours of traffic."""
    with new_stack() as stack:
        with httpx.Client(base_url=stack.http_url, timeout=60.0, trust_env=False) as api:
            send_traffic(api)
            send_story(api)
        yield stack


def send_traffic(api: httpx.Client, *, hours: int = 6, sessions: int = 500) -> None:
    """What the generator makes up of the last hours, some of it broken, as a script sends it."""
    now = datetime.now(UTC)
    traffic = Traffic(
        start=now - timedelta(hours=hours),
        end=now,
        seed=7,
        sessions=sessions,
        live_sessions=60,
        people=80,
        broken=0.003,
    )
    events = list(generate_events(traffic))
    for start in range(0, len(events), 1000):
        assert api.post("/events", json=events[start : start + 1000]).status_code == 202


EMAIL, PHONE, WALLET = "mara@story.example", "+49 30 5550101", "0xfeed00000000000000000000000000000000beef"


def send_story(api: httpx.Client) -> None:
    """Mara, known by an e-mail and by a phone, whom the event `story-3` showed to be one person; Otto, who shares her
    browser; and a form that was filled with a value that names nobody."""
    for event_id, identifiers in (
        ("story-1", {"email": EMAIL, "browser_id": "browser-story"}),
        ("story-2", {"phone": PHONE, "wallet_address": WALLET}),
        ("story-3", {"email": EMAIL, "phone": PHONE}),
        ("story-4", {"email": "otto@story.example", "browser_id": "browser-story"}),
        ("story-5", {"email": "null", "phone": "+49 30 5550199"}),
    ):
        event = {
            "event_id": event_id,
            "event_type": "form_submit",
            "source": "shop",
            "timestamp": time.time(),
            "identifiers": identifiers,
        }
        assert api.post("/events", json=event).json()["applied"] is True


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It ends with the module: while it runs, no test may have an event loop of its own."""
    with chromium() as launched:
        yield launched


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Opens pages of the console. What a page asks elsewhere, or says in its log, is a failure."""

    browser: Browser
    url: str

    @contextmanager
    def open(
        self, place: str = "", *, width: int = WIDE, dark: bool = False, forbidden: str = "nothing"
    ) -> Iterator[Page]:
        """A page of its own, in a browser session of its own, once it has what it asked for.

        forbidden: the end of a foreign address that a library asks for and the policy forbids.
        """
        height = {WIDEST: 1080, WIDE: 900, NARROW: 844}[width]
        scheme: Any = "dark" if dark else "light"
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        said: list[str] = []

        def note(request: Request) -> None:
            if not request.url.startswith((self.url, "blob:")):
                said.append(request.url)

        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", note)
        page.goto(f"{self.url}/console#/{place}")
        settle(page)
        yield page
        assert [text for text in said if not re.search(f"^Failed to load resource|{forbidden}", text)] == []
        context.close()


def settle(page: Page) -> None:
    """Waits until the page shows what it asked for."""
    page.locator("main h1").wait_for()
    wait_until(lambda: page.locator(".loading, [aria-busy=true]").count() == 0, f"{page.url} to show its answers")


@pytest.fixture
def console(browser: Browser, console_stack: Stack) -> Console:
    return Console(browser=browser, url=console_stack.http_url)


@pytest.fixture(scope="session")
def console_api(console_stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=console_stack.http_url, timeout=30.0, trust_env=False) as client:
        yield client


def person_of(api: httpx.Client, identifier: str, value: str) -> str:
    """The id of the person that has an identifier."""
    found: str = api.get("/debug/match", params={"identifier": identifier, "value": value}).json()["internal_user_id"]
    return found
