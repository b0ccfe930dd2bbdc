"""What people come to the console for, from the first click to what the API says afterwards."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conditions import wait_until
from tests.console.conftest import EMAIL, NARROW, PHONE, WALLET, WIDE, Console, person_of, settle


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_stranger_finds_why_two_identifiers_are_one_person_and_takes_it_back(
    console: Console, console_api: httpx.Client, width: int
) -> None:
    email, phone, event = f"ida{width}@story.example", f"+49 40 555{width}", f"ida-{width}"
    for number, identifiers in enumerate(({"email": email}, {"phone": phone}, {"email": email, "phone": phone})):
        tell(console_api, f"{event}-{number}", identifiers)
    with console.open(width=width) as page:
        if width == NARROW:
            page.get_by_role("button", name="Menu").click()
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="People").click()
        page.get_by_label("Identifier").fill(f" {email.upper()} ")
        page.get_by_role("button", name="Find").click()
        page.get_by_role("link", name="why is this one person?").click()
        chain = page.get_by_role("region", name="The chain of evidence")
        expect(chain).to_contain_text("two people became one")
        expect(chain.get_by_role("link", name=f"{event}-2")).to_be_visible()
        expect(page.locator(".node.lit")).to_have_count(3)  # both identifiers, and the event between them
        chain.get_by_role("link", name="can be taken back").click()
        page.get_by_role("button", name="Take back …").click()
        preview = page.get_by_role("dialog")
        expect(preview).to_contain_text("This one person becomes 2")
        expect(preview.locator(".sides > li")).to_have_count(2)
        preview.get_by_label("Reason").fill("two people share a shop")
        preview.get_by_role("button", name="Take it back").click()
        expect(page.get_by_text("are people of their own now")).to_be_visible()
        expect(page.get_by_text("Taken back on")).to_be_visible()
    assert person_of(console_api, "email", email) != person_of(console_api, "phone", phone)


def tell(api: httpx.Client, event_id: str, identifiers: dict[str, str]) -> None:
    """Sends an event of a person, and waits until people show it."""
    event = {
        "event_id": event_id,
        "event_type": "form_submit",
        "source": "shop",
        "timestamp": 1_790_000_000,
        "identifiers": identifiers,
    }
    assert api.post("/events", json=event).json()["accepted"] == 1
    identifier, value = next(iter(identifiers.items()))
    query = {"identifier": identifier, "value": value}
    wait_until(lambda: api.get("/debug/match", params=query).status_code == 200, f"{value} to be known")


def test_the_weakest_link_of_a_longer_chain_is_named(console: Console, console_api: httpx.Client) -> None:
    person = person_of(console_api, "email", EMAIL)
    with console.open(f"people/{person}/graph?from=email:{EMAIL}&to=wallet_address:{WALLET}") as page:
        expect(page.locator(".chain > li")).to_have_count(2)
        expect(page.locator(".chain > li.weakest")).to_have_count(1)
        assert page.locator("line.edge.lit").count() >= 3
        page.get_by_label("the same person as").select_option(label="phone " + PHONE.replace(" ", ""))
        expect(page.locator(".chain > li")).to_have_count(1)
        expect(page).to_have_url(re.compile(r"to=phone%3A"))


def test_everything_can_be_done_by_keyboard(console: Console, console_api: httpx.Client) -> None:
    person = person_of(console_api, "email", EMAIL)
    with console.open() as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        go_to(page, page.get_by_role("navigation", name="Pages").get_by_role("link", name="People"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="People", level=1)).to_be_focused()
        go_to(page, page.get_by_label("Identifier"))
        page.keyboard.type(EMAIL)
        page.keyboard.press("Enter")
        go_to(page, page.get_by_role("link", name="why is this one person?"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=f"Person {person}")).to_be_focused()
        node = page.locator("[data-node][tabindex='0']")
        go_to(page, node.first)
        first = node.first.get_attribute("data-node")
        for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
            if node.first.get_attribute("data-node") != first:
                break
        assert node.first.get_attribute("data-node") != first
        expect(node.first).to_be_focused()


def test_a_merge_is_taken_back_by_keyboard(console: Console, console_api: httpx.Client) -> None:
    email, phone = "kira@story.example", "+49 40 5550777"
    for number, identifiers in enumerate(({"email": email}, {"phone": phone}, {"email": email, "phone": phone})):
        tell(console_api, f"kira-{number}", identifiers)
    with console.open(f"people/{person_of(console_api, 'email', email)}/merges") as page:
        go_to(page, page.get_by_role("button", name="Take back …"))
        page.keyboard.press("Enter")
        preview = page.get_by_role("dialog")
        expect(preview).to_be_visible()
        page.keyboard.press("Escape")
        expect(preview).to_be_hidden()
        go_to(page, page.get_by_role("button", name="Take back …"))
        page.keyboard.press("Enter")
        go_to(page, preview.get_by_label("Reason"))
        page.keyboard.type("two people")
        go_to(page, preview.get_by_role("button", name="Take it back"))
        page.keyboard.press("Space")
        expect(page.get_by_role("status").filter(has_text="are people of their own now")).to_be_visible()
    assert person_of(console_api, "email", email) != person_of(console_api, "phone", phone)


def test_what_is_rejected_is_seen_without_what_was_sent(console: Console, console_api: httpx.Client) -> None:
    event = {"event_id": "rejected-1", "user_id": "rita@story.example", "type": "view", "ts": "2020-01-01T00:00:00Z"}
    with console.open() as page:
        assert console_api.post("/events", json=[event, event]).status_code == 422
        row = page.get_by_role("region", name="What was rejected last").get_by_role("row").filter(has_text="of a user")
        expect(row).to_contain_text("the time is too far from the server's clock")
        expect(row.get_by_role("cell").nth(1)).to_have_text("ts")
        expect(row.get_by_role("cell").last).to_have_text(re.compile(r"^[2-9]$"))
        assert "rita" not in page.content()


def test_nothing_moves_for_those_who_do_not_want_it(console: Console) -> None:
    moving = """
        () => [...document.querySelectorAll("*")].filter((one) => {
          const style = getComputedStyle(one);
          return parseFloat(style.transitionDuration) > 0 || style.animationName !== "none";
        }).length
    """
    with console.open() as page:  # which asks for less motion
        assert page.evaluate(moving) == 0
        page.emulate_media(reduced_motion="no-preference")
        assert page.evaluate(moving) > 0


def go_to(page: Page, element: Locator) -> None:
    """Presses Tab until the focus is on an element."""
    for _ in range(80):
        if element.evaluate("(one) => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{element} is not reached by Tab")


def test_arrow_keys_read_a_chart(console: Console) -> None:
    with console.open("campaigns/cmp-001?last=6h&tz=UTC&step=hour") as page:
        chart = page.get_by_role("img", name=re.compile("^Impressions"))
        chart.focus()
        page.keyboard.press("End")
        reading = page.locator("figure", has=chart).locator(".reading")
        expect(reading).to_have_attribute("aria-live", "polite")
        last = reading.inner_text()
        assert re.search(r"\d\d:00: Impressions [\d,]+$", last)
        page.keyboard.press("ArrowLeft")
        expect(reading).not_to_have_text(last)


def test_a_campaign_shows_what_the_api_counts_and_saves_it(console: Console, console_api: httpx.Client) -> None:
    place = "campaigns/cmp-002?from=2020-01-01T00:00:00Z&to=2020-01-01T03:00:00Z&tz=UTC&step=hour"
    for number, kind in enumerate(["impression"] * 4 + ["click"]):
        event = {"event_id": f"old-{number}", "type": kind, "campaign_id": "cmp-002", "source": "shop"}
        assert console_api.post("/events", json={**event, "occurred_at": "2020-01-01T01:30:00Z"}).status_code == 202
    query = {"campaign_id": "cmp-002", "from": "2020-01-01T00:00:00Z", "to": "2020-01-01T03:00:00Z"}
    wait_until(
        lambda: sum(p["events"] for p in console_api.get("/stats", params=query).json()["series"]) == 5, "5 events"
    )
    with console.open(place) as page:
        tiles = dict(
            zip(page.locator(".tile dt").all_inner_texts(), page.locator(".figure").all_inner_texts(), strict=True)
        )
        assert (tiles["Impressions"], tiles["Clicks"], tiles["Click-through rate"]) == ("4", "1", "25%")
        page.get_by_text("Show as table").first.click()
        expect(page.get_by_role("region", name="Impressions").get_by_role("row").nth(3)).to_contain_text("01:00")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as CSV").click()
        lines = download.value.path().read_text().splitlines()
        assert lines[0] == "ts,impressions,clicks,events"
        assert "2020-01-01T01:00:00Z,4,1,5" in lines
        page.get_by_label("Compare with the range before").check()
        expect(page.get_by_text("none in the range before").first).to_be_visible()
        expect(page).to_have_url(re.compile("compare=1"))


def test_a_test_event_is_sent_and_found(console: Console, console_api: httpx.Client) -> None:
    with console.open("send") as page:
        page.get_by_label("Campaign").fill("camp_by_hand")
        page.get_by_label("E-mail").fill("hand@story.example")
        event_id = page.get_by_label("Event id").input_value()
        for title in ("The same with curl", "The same in Python"):
            assert event_id in page.get_by_label(title).inner_text()
        page.get_by_role("button", name="Only check it").click()
        expect(page.get_by_text("Nothing was stored.")).to_be_visible()
        assert console_api.get(f"/events/{event_id}").status_code == 404
        page.get_by_role("button", name="Send it").click()
        expect(page.get_by_text("Accepted.")).to_be_visible()
        page.get_by_role("button", name="Send it").click()
        expect(page.get_by_text("A duplicate.")).to_be_visible()
        page.get_by_role("link", name="What became of it").click()
        expect(page.get_by_role("heading", name=f"Event {event_id}")).to_be_visible()
        expect(page.locator(".fate")).to_contain_text("as click of camp_by_hand")
        page.get_by_role("link", name="camp_by_hand").click()
        expect(page.locator(".tile", has_text="Clicks").locator(".figure")).to_have_text("1")


def test_an_event_that_is_wrong_is_refused_with_the_field(console: Console) -> None:
    with console.open("send") as page:
        page.get_by_label("E-mail").fill("x" * 1100)
        page.get_by_role("button", name="Send it").click()
        expect(page.get_by_role("alert")).to_contain_text("identifiers")


def test_people_who_share_a_browser_are_decided_upon(console: Console, console_api: httpx.Client) -> None:
    for number, name in enumerate(("karl", "nora", "paul")):
        identifiers = {"email": f"{name}@story.example", "browser_id": "browser-decided"}
        tell(console_api, f"decided-{number}", identifiers)
    karl, nora, paul = (person_of(console_api, "email", f"{name}@story.example") for name in ("karl", "nora", "paul"))
    with console.open(f"people/{karl}/matches") as page:
        cards = {
            one: page.locator("li.card", has=page.get_by_role("link", name=one, exact=True)) for one in (nora, paul)
        }
        decide(page, cards[nora], "Same person …", "Make them one person")
        expect(page.get_by_text("They are one person now")).to_be_visible()
        decide(page, cards[paul], "Two people …", "Keep them apart")
        expect(page.get_by_text("are kept apart from now on")).to_be_visible()
        page.get_by_role("link", name="Merges", exact=True).click()
        expect(page.get_by_text("A person joined them: seen at the desk")).to_be_visible()
        page.get_by_role("button", name="Lift …").click()
        page.get_by_label("Reason").fill("it was one customer")
        page.get_by_role("button", name="Lift it").click()
        expect(page.get_by_text("Evidence may join them again.")).to_be_visible()
    assert person_of(console_api, "email", "nora@story.example") == karl
    assert console_api.get(f"/users/{karl}/merges").json()["never_merges"] == []


def decide(page: Page, match: Locator, button: str, yes: str) -> None:
    match.get_by_role("button", name=button).click()
    page.get_by_label("Reason").fill("seen at the desk")
    page.get_by_role("button", name=yes).click()
    settle(page)


def test_an_identifier_beyond_the_limit_is_given_by_hand(console: Console, console_api: httpx.Client) -> None:
    email = "lena@story.example"
    for number in range(6):  # the policy allows five
        tell(console_api, f"lena-{number}", {"email": email, "user_id": f"lena-{number}"})
    tell(console_api, "lena-6", {"user_id": "lena-5"})  # so somebody else has it
    lena = person_of(console_api, "email", email)
    with console.open(f"review?rule=limit&person={lena}") as page:
        row = page.get_by_role("region", name="Set aside").get_by_role("row").filter(has_text="lena-5")
        expect(row).to_contain_text("as many values of this type as the policy allows")
        row.get_by_role("button", name="Give it to them …").click()
        page.get_by_label("Reason").fill("she said so")
        page.get_by_role("button", name="Give it", exact=True).click()
        expect(page.get_by_text(f"{lena} has lena-5 now.")).to_be_visible()
    assert person_of(console_api, "user_id", "lena-5") == lena


def test_what_a_shared_value_joined_is_taken_back(console: Console, console_api: httpx.Client) -> None:
    desk = "+49 40 5550888"
    first, second = "desk-a@story.example", "desk-b@story.example"
    tell(console_api, "desk-a", {"email": first})
    tell(console_api, "desk-b", {"email": second})
    tell(console_api, "desk-0", {"email": first, "phone": desk})
    tell(console_api, "desk-1", {"email": second, "phone": desk})
    assert person_of(console_api, "email", first) == person_of(console_api, "email", second)
    for number in range(2, 21):  # with more than twenty e-mails it is shared
        tell(console_api, f"desk-{number}", {"email": f"desk{number}@story.example", "phone": desk})
    with console.open("review") as page:
        values = page.get_by_role("region", name="Values that many people share")
        row = values.get_by_role("row").filter(has_text=desk.replace(" ", ""))
        row.get_by_role("button", name="Take back what it joined …").click()
        page.get_by_label("Reason").fill("the phone of a desk")
        page.get_by_role("button", name="Take it back").click()
        expect(page.get_by_text("merges were taken back")).to_be_visible()
    assert person_of(console_api, "email", first) != person_of(console_api, "email", second)


def test_an_audit_is_clean_and_lists_what_was_decided(console: Console) -> None:
    with console.open("audit?last=24h") as page:
        page.get_by_role("button", name="Run the audit").click()
        expect(page.get_by_text("Clean.")).to_be_visible(timeout=60_000)
        assert int(page.locator(".figure").first.inner_text().replace(",", "")) > 500


def test_another_policy_is_tried(console: Console) -> None:
    with console.open("policy") as page:
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_text("Nothing would change")).to_be_visible(timeout=60_000)
        text = page.get_by_label("Policy, as TOML")
        text.fill(text.input_value().replace("blocked_everywhere = [", f'blocked_everywhere = ["{EMAIL}",'))
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_text("Some people would change.")).to_be_visible(timeout=60_000)
        text.fill("this is no policy")
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("people/user_0", "Nobody has the id user_0."),
        ("people?value=nobody@story.example", "Nobody is known by nobody@story.example."),
        ("events/never-sent", "The log holds no event never-sent."),
        ("campaigns/never-seen", "This campaign had no event in this time."),
        ("campaigns/cmp-001?from=2020-01-01T00:00:00Z&to=2022-01-01T00:00:00Z&step=day&tz=UTC", "366 days"),
        ("campaigns/cmp-001?from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z", "before the second"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(console: Console, place: str, words: str) -> None:
    with console.open(place) as page:
        expect(page.get_by_text(words).first).to_be_visible()


def test_a_system_that_does_not_answer_is_said_and_asked_again(console: Console) -> None:
    with console.open("key") as page:
        page.route("**/campaigns?*", lambda route: route.abort())
        page.goto(f"{console.url}/console#/campaigns")
        expect(page.get_by_role("alert")).to_contain_text("The system does not answer.")
        page.unroute("**/campaigns?*")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("link", name="cmp-001")).to_be_visible()


def test_colours_are_chosen_and_remembered(console: Console) -> None:
    with console.open() as page:
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Colours").click()  # light
        page.get_by_role("button", name="Colours").click()  # dark
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
        page.reload()
        settle(page)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
