"""Takes the pictures of the console that README and docs/console.md show: `make pictures`.

Run by its name only, as it tests nothing: it writes into docs/pictures. Look at what it made before you commit it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from dmp_stack.stack import Stack
from tests.console.conftest import EMAIL, NARROW, WALLET, WIDE, Console, person_of, send_story, send_traffic, settle

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


@pytest.fixture(scope="module")
def busy_stack(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A system with a day of traffic, so that a range has one before it."""
    with new_stack() as stack:
        with httpx.Client(base_url=stack.http_url, timeout=60.0, trust_env=False) as api:
            send_traffic(api, hours=24, sessions=4000)
            send_story(api)
        yield stack


@pytest.mark.parametrize(
    ("name", "place", "width", "height"),
    [
        ("overview", "", WIDE, 900),
        ("campaign", "campaigns/cmp-001?last=6h&tz=UTC&compare=1", WIDE, 1000),
        ("person-graph", f"people/PERSON/graph?from=email:{EMAIL}&to=wallet_address:{WALLET}", WIDE, 900),
        ("person-narrow", "people/PERSON", NARROW, 844),
    ],
)
def test_take_a_picture(browser: Browser, busy_stack: Stack, name: str, place: str, width: int, height: int) -> None:
    with httpx.Client(base_url=busy_stack.http_url, trust_env=False) as api:
        person = person_of(api, "email", EMAIL)
    console = Console(browser=browser, url=busy_stack.http_url)
    with console.open(place.replace("PERSON", person), width=width, dark=width == NARROW) as page:
        page.set_viewport_size({"width": width, "height": height})
        if name == "overview":
            page.locator(".tile").first.wait_for()
        settle(page)
        page.screenshot(path=PICTURES / f"{name}.png")
