"""The console of a system that asks for keys: it says so, takes one for this tab, and sends it with every question."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from dmp_stack.stack import Stack
from tests.console.conftest import Console, settle


@pytest.fixture(scope="module")
def guarded(new_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with new_stack(api_keys=True, keys_directory=tmp_path_factory.mktemp("keys")) as running:
        yield running


def test_a_key_is_asked_for_and_kept_in_one_tab(browser: Browser, guarded: Stack) -> None:
    key = guarded.keys.first_key.read_text().strip()
    console = Console(browser=browser, url=guarded.http_url)
    with console.open("campaigns") as page:
        expect(page.get_by_role("alert")).to_contain_text("This system asks for an API key")
        page.get_by_role("link", name="Enter a key").click()
        page.get_by_label("API key").fill("nobodys-key")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator(".tag", has_text="closed")).to_have_count(3)
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator(".tag", has_text="open")).to_have_count(3)
        page.goto(f"{console.url}/console#/overview")
        expect(page.locator(".tile", has_text="Accepted")).to_be_visible()  # the live feed, with the key
        page.goto(f"{console.url}/console#/send")
        expect(page.get_by_label("The same with curl")).to_contain_text("$DMP_API_KEY")
        assert key not in page.content()
        assert page.evaluate("Object.values(localStorage).length") == 0
        page.reload()
        settle(page)
        page.goto(f"{console.url}/console#/campaigns")
        expect(page.get_by_text("No campaign had an event in this time.")).to_be_visible()
        page.goto(f"{console.url}/console#/key")
        page.get_by_role("button", name="Forget it").click()
        page.goto(f"{console.url}/console#/campaigns")
        expect(page.get_by_role("alert")).to_be_visible()
