"""The links that arrivals show."""

from __future__ import annotations

import msgspec
import pytest

from dmp_identity.domain.explain import Link, SeenIdentifier, links_of_identifiers, shortest_chain, weakest
from dmp_identity.domain.parsed_identifier import Key

EMAIL, PHONE, USER = ("email", "a@b.com"), ("phone", "1"), ("user_id", "u")


def seen(key: Key, ref: str, via: Key | None = None) -> SeenIdentifier:
    """An identifier that arrived at profile 1 with an event."""
    return SeenIdentifier(key=key, profile=1, cause="event", ref=ref, source="s", at_us=1, via=via, via_strong=True)


def shown(links: list[Link]) -> list[tuple[Key, Key, str]]:
    """Ends and rules."""
    return [(link.a, link.b, link.rule) for link in links]


def test_what_a_profile_began_with_was_seen_together() -> None:
    assert shown(links_of_identifiers([seen(EMAIL, "e1"), seen(PHONE, "e1")])) == [(EMAIL, PHONE, "seen_together")]


def test_what_came_later_was_seen_with_what_brought_it() -> None:
    links = links_of_identifiers([seen(EMAIL, "e1"), seen(PHONE, "e2", via=EMAIL)])
    assert shown(links) == [(EMAIL, PHONE, "seen_together")]


def test_what_was_brought_by_something_that_is_gone_stays_with_its_profile() -> None:
    links = links_of_identifiers([seen(EMAIL, "e1"), seen(PHONE, "e2", via=USER)])
    assert shown(links) == [(EMAIL, PHONE, "same_profile")]


def test_what_a_browser_brought_is_connected_through_the_browser() -> None:
    browser: Key = ("browser_id", "b")
    adopted = msgspec.structs.replace(seen(PHONE, "e2", via=browser), via_strong=False)
    assert shown(links_of_identifiers([seen(EMAIL, "e1"), adopted])) == [
        (browser, PHONE, "adopted"),
        (EMAIL, browser, "adopted"),
    ]
    # A profile that began with it has nothing to be connected with.
    assert links_of_identifiers([adopted]) == []


def test_what_brought_it_may_be_at_another_profile_that_is_shown() -> None:
    elsewhere = msgspec.structs.replace(seen(USER, "e0"), profile=2)
    links = links_of_identifiers([elsewhere, seen(EMAIL, "e1"), seen(PHONE, "e2", via=USER)])
    assert shown(links) == [(USER, PHONE, "seen_together")]


def test_what_arrived_in_one_event_is_connected_with_all_of_it() -> None:
    links = links_of_identifiers([seen(EMAIL, "e1"), seen(PHONE, "e1"), seen(USER, "e1")])
    assert shown(links) == [
        (EMAIL, PHONE, "seen_together"),
        (EMAIL, USER, "seen_together"),
        (PHONE, USER, "seen_together"),
    ]


def test_a_profile_that_began_with_something_gone_stays_as_it_is() -> None:
    assert shown(links_of_identifiers([seen(PHONE, "e1", via=USER)])) == [(USER, PHONE, "seen_together")]


def test_a_link_tells_its_event() -> None:
    arrival = msgspec.structs.replace(seen(PHONE, "e2", via=EMAIL), cause="contact", source="shop", at_us=77)
    (link,) = links_of_identifiers([seen(EMAIL, "e1"), arrival])
    assert link == Link(
        a=EMAIL, b=PHONE, cause="contact", ref="e2", source="shop", at_us=77, rule="seen_together", merge_id=""
    )


def link(a: str, b: str, *, cause: str = "event", at_us: int = 0, rule: str = "seen_together") -> Link:
    """A link between two nodes."""
    return Link(a=("n", a), b=("n", b), cause=cause, ref="", source="", at_us=at_us, rule=rule, merge_id="")


def path(links: list[Link], starts: str, ends: str) -> list[tuple[str, str]] | None:
    """The chain from any of the starts to any of the ends."""
    chain = shortest_chain(links, [("n", one) for one in starts], frozenset(("n", one) for one in ends))
    return None if chain is None else [(one.a[1], one.b[1]) for one in chain]


@pytest.mark.parametrize(
    ("links", "starts", "ends", "expected"),
    [
        ([], "a", "b", None),
        ([], "a", "a", []),
        ([link("a", "b")], "ab", "cb", []),
        ([link("a", "b")], "a", "b", [("a", "b")]),
        ([link("a", "b")], "b", "a", [("b", "a")]),
        ([link("a", "b"), link("c", "b")], "a", "c", [("a", "b"), ("b", "c")]),
        ([link("a", "b"), link("b", "c"), link("c", "d"), link("a", "d")], "a", "c", [("a", "b"), ("b", "c")]),
        ([link("a", "b"), link("b", "c"), link("x", "c")], "ax", "c", [("x", "c")]),
        ([link("a", "b"), link("c", "d")], "a", "d", None),
        ([link("a", "a"), link("a", "b")], "a", "b", [("a", "b")]),
    ],
)
def test_the_shortest_chain_leads_on(
    links: list[Link], starts: str, ends: str, expected: list[tuple[str, str]] | None
) -> None:
    assert path(links, starts, ends) == expected


def test_a_turned_link_tells_the_same() -> None:
    one = link("a", "b", cause="contact", at_us=5)
    assert shortest_chain([one], [("n", "b")], frozenset({("n", "a")})) == [
        msgspec.structs.replace(one, a=("n", "b"), b=("n", "a"))
    ]


@pytest.mark.parametrize(
    ("chain", "position"),
    [
        ([], -1),
        ([link("a", "b")], 0),
        ([link("a", "b"), link("b", "c", rule="adopted")], 1),
        ([link("a", "b", cause="contact"), link("b", "c", rule="adopted", cause="manual")], 1),
        ([link("a", "b"), link("b", "c", cause="contact"), link("c", "d", cause="manual")], 1),
        ([link("a", "b"), link("b", "c", cause="manual")], 1),
        ([link("a", "b", cause="renormalise"), link("b", "c", cause="manual")], 1),
        ([link("a", "b", at_us=1), link("b", "c", at_us=3), link("c", "d", at_us=2)], 1),
        ([link("a", "b", cause="renormalise", at_us=1), link("b", "c", at_us=3)], 1),
    ],
)
def test_the_weakest_link_is_a_browser_s_then_a_request_s_then_a_person_s(chain: list[Link], position: int) -> None:
    assert weakest(chain) == position


def test_each_profile_began_with_its_own() -> None:
    # The second profile began with what a browser brought: there is nothing at it to connect that with.
    other = msgspec.structs.replace(seen(USER, "e2", via=("browser_id", "b")), profile=2, via_strong=False)
    assert links_of_identifiers([seen(EMAIL, "e1"), other]) == []


def test_what_a_browser_brought_is_told_after_what_came_before() -> None:
    adopted = msgspec.structs.replace(seen(USER, "e2", via=("browser_id", "b")), via_strong=False)
    links = links_of_identifiers([seen(EMAIL, "e1"), seen(PHONE, "e1"), adopted])
    assert [link.rule for link in links] == ["seen_together", "adopted", "adopted"]


def test_a_request_is_weaker_than_a_younger_decision() -> None:
    assert weakest([link("a", "b", cause="manual", at_us=9), link("b", "c", cause="contact", at_us=1)]) == 1


def test_other_causes_are_as_strong_as_an_event() -> None:
    assert weakest([link("a", "b", at_us=9), link("b", "c", cause="renormalise", at_us=1)]) == 0
    assert weakest([link("a", "b", at_us=1), link("b", "c", cause="renormalise", at_us=9)]) == 1
