"""What a page does is captured, exactly once each, and the page notices nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.conditions import wait_until
from tests.snippet.conftest import Shop


def named(shop: Shop, kind: str) -> list[Any]:
    """The names in the events of a type, in order."""
    return [event["metadata"].get("name") for event in shop.events() if event["type"] == kind]


def test_a_page_is_viewed_once_whatever_its_history_says(shop: Shop, page: Page) -> None:
    page.goto(shop.url("/start?utm_source=mail&email=ann@example.com#top"))
    for act in (
        "history.pushState({}, '', '/list')",  # another page
        "history.pushState({}, '', 'list')",  # the same page, relative
        "history.pushState({}, '', '#part')",  # a part of it
        "history.replaceState({}, '', '/list')",
        "location.hash = 'other'",
        "history.pushState({}, '', '/item')",
    ):
        page.evaluate(act)
    page.evaluate("history.back()")
    page.wait_for_url("**/list#other")
    page.evaluate("dmp('page', 'basket'); dmp('page', 'basket')")
    shop.wait_for(page_view=5)
    events = shop.events()
    pages = [event["metadata"]["page"].removeprefix(shop.url("")) for event in events]
    assert pages == ["/start", "/list", "/item", "/list", "/list"]
    referrers = [event["metadata"].get("referrer", "").removeprefix(shop.url("")) for event in events]
    assert referrers == ["", "/start", "/list", "/item", "/list"]
    assert events[-1]["metadata"]["name"] == "basket"
    assert "ann@example.com" not in json.dumps(events)


def test_clicks_on_links_and_marked_elements_count_and_stay_what_they_are(
    shop: Shop, page: Page, context: BrowserContext
) -> None:
    shop.bodies["/"] = """
      <div data-dmp-campaign="camp_c" data-dmp-creative="cr_1">
        <a id="plain" href="/next?secret=1#x">on</a>
        <a id="stopped" href="/never">stopped</a>
        <button id="marked" data-dmp-click="basket"><span id="inner">put</span></button>
        <label id="label" data-dmp-click="agree"><input type="checkbox" id="box"><span id="words">agree</span></label>
        <a id="mail" href="mailto:ann@example.com">write</a>
        <p id="other">no link</p>
        <div data-dmp-ignore><a id="ignored" href="#ignored">ignored</a></div>
      </div>
      <script>
        for (const id of ['stopped', 'mail']) document.getElementById(id).onclick = (event) => event.preventDefault();
        const stop = (event) => event.target.id === 'inner' && event.stopImmediatePropagation();
        document.addEventListener('click', stop, true);
      </script>"""
    page.goto(shop.url())
    for selector in ("#stopped", "#inner", "#words", "#box", "#mail", "#other", "#ignored"):
        page.click(selector)
    with context.expect_page() as opened:
        page.click("#plain", modifiers=["Control"])
    opened.value.wait_for_load_state()
    with context.expect_page() as again:
        page.click("#plain", button="middle")
    again.value.wait_for_load_state()
    assert page.url.startswith(shop.url("/"))
    assert page.is_checked("#box") is False
    page.click("#plain")
    page.wait_for_url("**/next?secret=1#x")
    shop.wait_for(page_view=4, click=8)
    clicks = [event for event in shop.events() if event["type"] == "click"]
    assert {(click["campaign_id"], click["creative_id"]) for click in clicks} == {("camp_c", "cr_1")}
    assert [click["metadata"].get("name") for click in clicks] == [None, "basket", "agree", "agree", *[None] * 4]
    links = [click["metadata"].get("link", "").removeprefix(shop.url("")) for click in clicks]
    assert links == ["/never", "", "", "", "mailto:", "/next", "/next", "/next"]


def test_of_a_form_only_the_names_of_its_fields_are_sent(shop: Shop, page: Page) -> None:
    shop.bodies["/"] = """
      <form id="order"><input name="card" value="4111111111111111"><input name="elements" value="x">
        <select name="size"><option>secret size</option></select><input type="hidden" name="token" value="s3cr3t">
        <input name="size" value="again"><input value="nameless"><button name="go">go</button></form>
      <input name="apart" form="order" value="hidden value"><input name="strange" value="of no form">
      <script>document.getElementById('order').onsubmit = (event) => event.preventDefault()</script>"""
    page.goto(shop.url())
    page.click("button")
    shop.wait_for(page_view=1, form_submit=1)
    metadata = shop.events()[-1]["metadata"]
    assert metadata["form"] == "order"
    assert metadata["fields"] == ["card", "elements", "size", "token", "go", "apart"]
    for value in ("4111", "s3cr3t", "secret size", "hidden value"):
        assert value not in json.dumps(shop.events())


def test_an_impression_is_half_of_an_element_for_a_second_once(shop: Shop, page: Page) -> None:
    shop.bodies[
        "/"
    ] = """<style>div { height: 200px; width: 300px } #gap { height: 2000px } #empty { height: 0 }</style>
      <div id="top" data-dmp-impression="top" data-dmp-campaign="camp_i" data-dmp-creative="cr_i"></div>
      <div id="empty" data-dmp-impression="empty"></div><div id="gap"></div>
      <div id="low" data-dmp-impression="low"></div>"""
    page.goto(shop.url())
    # Glanced at: shorter than a second, measured by the page's own clock, which its timers follow.
    page.evaluate("""async () => {
      const frame = () => new Promise(requestAnimationFrame), begun = performance.now();
      document.getElementById('low').scrollIntoView();
      while (performance.now() < begun + 300) await frame();
      window.glance = performance.now() - begun;
      window.scrollTo(0, 0);
      for (let i = 0; i < 3; i++) await frame();
    }""")
    page.evaluate("""() => {
      const later = document.createElement('section');
      later.innerHTML = '<div style="height:50px" data-dmp-impression="later"></div>';
      document.body.prepend(later);
    }""")
    wait_until(lambda: named(shop, "impression") == ["top", "later"], "what is in view counts")
    page.evaluate("document.getElementById('low').scrollIntoView()")
    wait_until(lambda: named(shop, "impression") == ["top", "later", "low"], "what is looked at counts")
    page.evaluate("document.getElementById('top').scrollIntoView()")
    page.evaluate("document.getElementById('top').dataset.dmpImpression = 'another'")
    shop.wait_for(page_view=1, impression=4)
    assert named(shop, "impression") == ["top", "later", "low", "another"]
    impressions = [event for event in shop.events() if event["type"] == "impression"]
    assert (impressions[0]["campaign_id"], impressions[0]["creative_id"]) == ("camp_i", "cr_i")


def test_events_of_the_page_say_what_it_said_then_and_whose_they_are(shop: Shop, page: Page) -> None:
    mail = f"{shop.source}@example.com"
    page.goto(shop.url())
    page.evaluate(
        """(email) => {
          const order = {campaign_id: 'camp_t', event_id: 'order-' + email, metadata: {items: [1]}};
          dmp('track', 'purchase', order);
          order.metadata.items.push(2);
          dmp('track', 'purchase', order);
          dmp('identify', {email});
          dmp('identify', {email});
          dmp('track', 'view');
        }""",
        mail,
    )
    shop.wait_for(page_view=1, purchase=1, session_start=1, view=1)
    page.goto(shop.url("/second"))
    page.evaluate("(email) => dmp('identify', {email})", mail)
    page.evaluate("dmp('identify', null); dmp('track', 'view')")
    shop.wait_for(page_view=2, purchase=1, session_start=1, view=2)
    events = shop.events()
    identifiers = [dict(event["identifiers"]) for event in events]
    assert {one["browser_id"] for one in identifiers} == {page.evaluate("localStorage['dmp:id']")}
    assert [one.get("email") for one in identifiers] == [None, None, mail, mail, None, None]
    (purchase,) = [event for event in events if event["type"] == "purchase"]
    assert purchase["metadata"]["items"] == [1]
    assert mail not in page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")


@pytest.mark.parametrize("how", ["a queue before it", "twice", "broken"])
def test_the_page_notices_nothing(shop: Shop, page: Page, how: str) -> None:
    early = "<script>window.dmp = function () { (dmp.q = dmp.q || []).push(arguments) }; dmp('track', 'view')</script>"
    tag = f'<script src="{shop.dmp}/dmp.js" data-source="{shop.source}"></script>'
    broken = (
        "<script>history.pushState = null; window.IntersectionObserver = undefined;"
        "window.fetch = () => { throw 1 }; navigator.sendBeacon = null</script>"
    )
    texts = {"a queue before it": early + tag, "twice": tag + tag, "broken": broken + tag}
    shop.site.behaviour = lambda _: shop.plain(texts[how])
    page.goto(shop.url())
    strange = "dmp(); dmp('nothing'); dmp('track'); "
    strange += "const round = {}; round.round = round; dmp('track', 'view', {metadata: round});"
    strange += "dmp('identify', window)"
    strange += "; dmp('track', 'view', {metadata: {long: 'x'.repeat(20000)}})"
    assert page.evaluate(f"(() => {{ {strange}; return 7 }})()") == 7
    if how == "broken":
        page.evaluate("dmp('track', 'view')")
        assert page.evaluate("typeof dmp") == "function"
    else:
        shop.wait_for(page_view=1, **({"view": 1} if "queue" in how else {}))
