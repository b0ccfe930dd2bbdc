"""What was captured arrives and counts once: when pages are left, with two tabs, without storage, without a gateway."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from dmp_stack.stack import Stack
from tests.clients.interposed import Interposed, Said, Seen, interposed
from tests.conditions import wait_until
from tests.snippet.conftest import INSECURE, Shop

KEPT = "Object.keys(localStorage).filter((name) => name.startsWith('dmp:kept:')).length"
BARE = "<p>a page that is not counted</p>"


@pytest.fixture
def door(stack: Stack, shop: Shop) -> Iterator[Interposed]:
    """Between the pages and the gateway: it can be closed, and knows what was sent."""
    with interposed(stack.http_url) as between:
        shop.dmp = between.url
        yield between


def away(seen: Seen) -> Said | None:
    """The gateway does not answer to events."""
    return Said(status=503) if seen.path == "/events" else None


def sent(requests: list[Seen]) -> Counter[str]:
    """How often each event was sent."""
    posts = [one for one in requests if one.method == "POST"]
    return Counter(event["event_id"] for post in posts for event in json.loads(post.body))


def with_bare_page(shop: Shop) -> None:
    shop.site.behaviour = lambda seen: shop.plain(BARE) if seen.path == "/bare" else shop.answer(seen)


def test_what_is_done_last_arrives_when_the_page_is_left(shop: Shop, page: Page) -> None:
    with_bare_page(shop)
    page.goto(shop.url())
    page.evaluate("dmp('track', 'view'); dmp('track', 'view'); location.href = '/bare'")
    page.wait_for_url("**/bare")
    shop.wait_for(page_view=1, view=2)
    assert page.evaluate(KEPT) == 3  # no answer said that they arrived
    page.goto(shop.url("/again"))
    wait_until(lambda: page.evaluate(KEPT) == 0, "the next page asks for them")
    shop.wait_for(page_view=2, view=2)


def test_more_than_a_browser_lets_a_page_leave_behind_is_kept(shop: Shop, page: Page) -> None:
    with_bare_page(shop)
    page.goto(shop.url())
    page.evaluate("""
      for (let i = 0; i < 12; i++) dmp('track', 'view', {metadata: {text: 'x'.repeat(11_000)}});
      location.href = '/bare'""")
    page.wait_for_url("**/bare")
    wait_until(lambda: shop.counts().get("view", 0) >= 4, "some are thrown")
    assert shop.counts()["view"] < 12
    page.goto(shop.url("/again"))
    shop.wait_for(page_view=2, view=12)


def test_a_page_that_comes_back_from_the_cache_is_viewed_again(shop: Shop, page: Page) -> None:
    """The headless shell has no such cache: the events that a browser gives are given by the test."""
    page.goto(shop.url())
    page.evaluate("""
      window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}));
      window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));
      window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: false}))""")
    shop.wait_for(page_view=2)


def test_a_page_counts_from_when_it_is_shown(shop: Shop, page: Page) -> None:
    """The headless shell does not prerender: the test says what a browser would."""
    page.add_init_script(
        "window.prepared = true;Object.defineProperty(Document.prototype, 'prerendering', {get: () => window.prepared})"
    )
    page.goto(shop.url())
    page.evaluate("dmp('track', 'view')")
    assert page.evaluate("Object.keys(localStorage)") == []
    page.evaluate("window.prepared = false; document.dispatchEvent(new Event('prerenderingchange'))")
    shop.wait_for(page_view=1, view=1)


def test_where_storage_is_closed_everything_is_counted(shop: Shop, page: Page) -> None:
    shop.bodies["/"] = '<iframe sandbox="allow-scripts" src="/framed"></iframe>'
    page.goto(shop.url())
    frame = page.frame_locator("iframe")
    frame.locator("body").evaluate("dmp('track', 'view'); dmp('track', 'view')")
    said = frame.locator("body").evaluate(
        "(() => { try { return localStorage.length } catch (error) { return error.name } })()"
    )
    assert said == "SecurityError"
    shop.wait_for(page_view=2, view=2)
    browsers = {dict(event["identifiers"])["browser_id"] for event in shop.events() if event["type"] == "view"}
    assert len(browsers) == 1


def test_where_storage_is_full_everything_is_counted(shop: Shop, page: Page, door: Interposed) -> None:
    page.goto(shop.url())
    shop.wait_for(page_view=1)
    door.behaviour = away
    page.evaluate("""
      for (let size = 2 ** 20; size >= 1; size /= 2) {
        try { for (let i = 0; ; i++) localStorage.setItem(`site-${size}-${i}`, 'x'.repeat(size)) } catch {}
      }""")
    page.evaluate("for (let i = 0; i < 5; i++) dmp('track', 'view')")
    wait_until(lambda: sum(sent(door.seen).values()) >= 6, "they are tried")
    assert page.evaluate(KEPT) == 0
    door.behaviour = lambda _: None
    page.evaluate("window.dispatchEvent(new Event('online'))")
    shop.wait_for(page_view=1, view=5)
    assert page.evaluate("Object.keys(localStorage).some((name) => name.startsWith('site-'))")


def test_what_was_done_while_the_gateway_was_away_counts_once(shop: Shop, page: Page, door: Interposed) -> None:
    door.behaviour = away
    for number in range(3):
        page.goto(shop.url(f"/{number}"))
        page.evaluate("dmp('track', 'view')")
    wait_until(lambda: page.evaluate(KEPT) == 6, "they are kept")
    assert shop.counts() == {}
    door.behaviour = lambda _: None
    shop.wait_for(page_view=3, view=3)  # by itself
    wait_until(lambda: page.evaluate(KEPT) == 0, "nothing is kept that was answered")


@pytest.mark.parametrize("host", ["localhost", INSECURE], ids=["locks", "lease"])
def test_two_tabs_never_both_send_what_was_kept(
    shop: Shop, context: BrowserContext, door: Interposed, host: str
) -> None:
    door.behaviour = away
    tabs = [context.new_page() for _ in range(2)]
    for number, tab in enumerate(tabs):
        tab.goto(shop.url(f"/{number}", host=host))
        tab.evaluate("for (let i = 0; i < 20; i++) dmp('track', 'view', {metadata: {text: 'x'.repeat(3000)}})")
    assert tabs[0].evaluate("'locks' in navigator") is (host != INSECURE)
    wait_until(lambda: tabs[0].evaluate(KEPT) == 42, "both keep what they have")
    wait_until(lambda: door.answered == len(door.seen), "nothing is under way")
    begun = len(door.seen)
    door.behaviour = lambda _: None
    for tab in tabs:
        tab.evaluate("window.dispatchEvent(new Event('online'))")
    shop.wait_for(page_view=2, view=40)
    wait_until(lambda: tabs[0].evaluate(KEPT) == 0, "nothing is kept that was answered")
    assert set(sent(door.seen[begun:]).values()) == {1}


def test_without_consent_nothing_is_stored_or_sent(shop: Shop, page: Page, door: Interposed) -> None:
    shop.attributes = 'data-consent="wait"'
    page.goto(shop.url())
    page.evaluate("dmp('track', 'view')")
    page.goto(shop.url("/second"))
    page.evaluate("dmp('track', 'view')")
    assert page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage), document.cookie]") == [""]
    page.evaluate("localStorage['dmp:id'] = 'known-before'; dmp('consent', true)")
    shop.wait_for(page_view=1, view=1)  # of the page that asked
    assert {dict(event["identifiers"])["browser_id"] for event in shop.events()} == {"known-before"}
    door.behaviour = away
    page.evaluate("dmp('track', 'view')")
    wait_until(lambda: page.evaluate(KEPT) == 1, "it is kept")
    page.evaluate("dmp('consent', false); dmp('track', 'view'); history.pushState({}, '', '/third')")
    assert page.evaluate("Object.keys(localStorage)") == []
    door.behaviour = lambda _: None
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.evaluate("dmp('consent', true); dmp('track', 'purchase')")
    shop.wait_for(page_view=1, view=1, purchase=1)
    assert dict(shop.events()[-1]["identifiers"])["browser_id"] != "known-before"


@pytest.mark.parametrize("asked", [True, False])
def test_who_asks_not_to_be_tracked_is_not_where_the_page_says_so(
    shop: Shop, page: Page, door: Interposed, *, asked: bool
) -> None:
    shop.attributes = "data-dnt" if asked else ""
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})")
    page.goto(shop.url())
    page.evaluate("dmp('consent', true); dmp('track', 'view')")
    if asked:
        assert page.evaluate("Object.keys(localStorage)") == []
        page.evaluate("fetch(document.currentScript?.src ?? '/bare')")
        assert sent(door.seen) == {}
    else:
        shop.wait_for(page_view=1, view=1)


@pytest.mark.parametrize("kind", ["text", "blob"])
def test_beacons_reach_the_gateway_from_another_origin(shop: Shop, page: Page, kind: str) -> None:
    shop.site.behaviour = lambda _: shop.plain(BARE)
    page.goto(shop.url())
    event = {"event_id": f"{shop.source}-1", "event_type": "click", "source": shop.source, "timestamp": 1_700_000_000}
    text = json.dumps({**event, "identifiers": {"browser_id": shop.source}})
    body = "text" if kind == "text" else "new Blob([text], {type: 'application/json'})"
    assert page.evaluate(f"([url, text]) => navigator.sendBeacon(url, {body})", [f"{shop.dmp}/events", text]) is True
    shop.wait_for(click=1)


def test_a_click_on_the_example_page_is_in_the_campaign_at_once(
    stack: Stack, context: BrowserContext, page: Page
) -> None:
    page.goto(f"{stack.http_url}/console/example")
    expect(page.locator("#impressions")).to_have_text("1")
    page.evaluate("window.begun = performance.now()")
    page.get_by_role("button", name="Remember it").click()
    expect(page.locator("#clicks")).to_have_text("1")
    with httpx.Client(base_url=stack.http_url, timeout=30.0, trust_env=False) as api:
        browser = page.evaluate("localStorage['dmp:id']")
        person = api.get("/debug/match", params={"identifier": "browser_id", "value": browser}).json()[
            "internal_user_id"
        ]
        kinds = [event["event_type"] for event in api.get(f"/users/{person}").json()["events"]]
        assert sorted(kinds) == ["click", "impression", "page_view"]
    page.get_by_role("link", name="See the offers").click()
    page.wait_for_url(re.compile("example-offers$"))
    expect(page.locator("#clicks")).to_have_text("2")
    page.get_by_role("button", name="Another page without loading").click()
    page.get_by_label("E-mail").fill("ann@example.com")
    page.get_by_role("button", name="Subscribe").click()
    page.get_by_role("button", name="Buy it").click()
    expect(page.locator("#events")).to_have_text("5")  # two impressions, two clicks, a purchase
