"""The links that arrivals show."""

from __future__ import annotations

from dmp_identity.domain.explain import Link, SeenIdentifier, links_of_identifiers
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
