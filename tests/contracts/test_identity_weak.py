"""CONTRACT 2: weak identifiers attribute and hint, but never merge two profiles."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.answers import match, person_of, stored, user
from tests.contracts.payloads import Json, fresh, fresh_email, fresh_phone, identified_event


def seen(api: httpx.Client, **identifiers: str) -> str:
    """The profile that an event with these identifiers goes to."""
    return person_of(api, identified_event(identifiers=identifiers))


def possible(api: httpx.Client, profile: str) -> list[tuple[str, str, str]]:
    matches: list[Json] = user(api, profile)["possible_matches"]
    return [(found["internal_user_id"], found["identifier"], found["value"]) for found in matches]


@pytest.mark.parametrize("kind", ["browser_id", "ip_address"])
def test_a_shared_weak_identifier_merges_nobody_but_is_shown(api: httpx.Client, kind: str) -> None:
    shared = fresh("browser") if kind == "browser_id" else "2001:db8::" + fresh("")[1:5]
    first = seen(api, email=fresh_email(), **{kind: shared})
    second = seen(api, email=fresh_email(), **{kind: shared})
    third = seen(api, phone=fresh_phone(), **{kind: shared})
    assert len({first, second, third}) == 3
    assert sorted(found for found, _, _ in possible(api, first)) == sorted([second, third])
    assert sorted(found for found, _, _ in possible(api, third)) == sorted([first, second])
    assert {(identifier, value) for _, identifier, value in possible(api, first)} == {
        (kind, match(api, kind, shared)["match"]["normalized"])
    }
    assert all(user(api, profile)["merged_ids"] == [] for profile in (first, second, third))


def test_profiles_that_share_nothing_are_no_possible_matches(api: httpx.Client) -> None:
    profile = seen(api, email=fresh_email(), browser_id=fresh("browser"))
    seen(api, email=fresh_email(), browser_id=fresh("browser"))
    assert possible(api, profile) == []


def test_a_weak_event_goes_to_the_one_owner_of_its_browser(api: httpx.Client) -> None:
    browser = fresh("browser")
    owner = seen(api, email=fresh_email(), browser_id=browser)
    assert seen(api, browser_id=browser) == owner
    assert seen(api, browser_id=browser, ip_address="192.0.2.1") == owner
    assert len(user(api, owner)["events"]) == 3


def test_a_weak_event_of_an_unknown_browser_starts_an_anonymous_profile(api: httpx.Client) -> None:
    browser = fresh("browser")
    anonymous = seen(api, browser_id=browser)
    assert seen(api, browser_id=browser) == anonymous
    shown = user(api, anonymous)
    assert shown["identifiers"]["browser_ids"] == [browser]
    assert "email" not in shown["identifiers"]
    assert seen(api, browser_id=fresh("browser")) != anonymous


def test_a_weak_event_of_a_browser_with_several_owners_goes_to_none_of_them(api: httpx.Client) -> None:
    browser = fresh("browser")
    owners = {seen(api, email=fresh_email(), browser_id=browser) for _ in range(2)}
    anonymous = seen(api, browser_id=browser)
    assert anonymous not in owners
    assert seen(api, browser_id=browser) == anonymous
    assert all(len(user(api, owner)["events"]) == 1 for owner in owners)


def test_an_anonymous_profile_is_adopted_by_an_unknown_strong_identifier(api: httpx.Client) -> None:
    browser, email = fresh("browser"), fresh_email()
    anonymous = seen(api, browser_id=browser)
    assert seen(api, email=email, browser_id=browser) == anonymous
    shown = user(api, anonymous)
    assert shown["identifiers"]["email"] == email
    assert len(shown["events"]) == 2
    assert match(api, "email", email)["internal_user_id"] == anonymous


def test_an_anonymous_profile_is_not_adopted_by_a_known_person(api: httpx.Client) -> None:
    browser, email = fresh("browser"), fresh_email()
    person = seen(api, email=email)
    anonymous = seen(api, browser_id=browser)
    assert seen(api, email=email, browser_id=browser) == person
    assert user(api, anonymous)["internal_user_id"] == anonymous
    assert len(user(api, anonymous)["events"]) == 1
    assert possible(api, person) == [(anonymous, "browser_id", browser)]
    assert possible(api, anonymous) == [(person, "browser_id", browser)]


def test_an_adopted_profile_is_not_adopted_again(api: httpx.Client) -> None:
    browser = fresh("browser")
    anonymous = seen(api, browser_id=browser)
    first = seen(api, email=fresh_email(), browser_id=browser)
    second = seen(api, email=fresh_email(), browser_id=browser)
    assert first == anonymous
    assert second != anonymous


def test_another_browser_adopts_nothing(api: httpx.Client) -> None:
    anonymous = seen(api, browser_id=fresh("browser"))
    assert seen(api, email=fresh_email(), browser_id=fresh("browser")) != anonymous


def test_an_unknown_strong_identifier_does_not_join_the_owner_of_its_browser(api: httpx.Client) -> None:
    """The switch `assist` is off unless the policy file turns it on."""
    browser = fresh("browser")
    owner = seen(api, email=fresh_email(), browser_id=browser)
    assert seen(api, wallet_address=fresh("wallet"), browser_id=browser) != owner


def test_an_ip_address_never_attributes(api: httpx.Client) -> None:
    address = "2001:db8:1::" + fresh("")[1:5]
    owner = seen(api, email=fresh_email(), ip_address=address)
    stored(api, identified_event(identifiers={"ip_address": address}))
    stored(api, identified_event(identifiers={"ip_address": address, "browser_id": fresh("browser")}))
    assert len(user(api, owner)["events"]) == 1


def test_an_ip_address_adopts_nothing(api: httpx.Client) -> None:
    address = "2001:db8:2::" + fresh("")[1:5]
    anonymous = seen(api, browser_id=fresh("browser"), ip_address=address)
    assert seen(api, email=fresh_email(), ip_address=address) != anonymous


def test_one_browser_in_one_batch_is_one_anonymous_profile(api: httpx.Client) -> None:
    browser = fresh("browser")
    events = [identified_event(identifiers={"browser_id": browser}) for _ in range(5)]
    assert len({result["internal_user_id"] for result in stored(api, events)}) == 1


def test_adoption_works_within_one_batch(api: httpx.Client) -> None:
    browser, email = fresh("browser"), fresh_email()
    results = stored(
        api,
        [
            identified_event(identifiers={"browser_id": browser}),
            identified_event(identifiers={"browser_id": browser, "email": email}),
        ],
    )
    assert len({result["internal_user_id"] for result in results}) == 1


def test_weak_identifiers_within_one_batch_merge_nobody(api: httpx.Client) -> None:
    browser = fresh("browser")
    events = [identified_event(identifiers={"browser_id": browser, "email": fresh_email()}) for _ in range(4)]
    assert len({result["internal_user_id"] for result in stored(api, events)}) == 4


def test_two_anonymous_browsers_are_not_merged_by_one_adoption(api: httpx.Client) -> None:
    left, right, email = fresh("browser"), fresh("browser"), fresh_email()
    first, second = seen(api, browser_id=left), seen(api, browser_id=right)
    assert seen(api, email=email, browser_id=left) == first
    assert seen(api, email=email, browser_id=right) == first
    assert user(api, second)["internal_user_id"] == second


def test_merged_profiles_are_possible_matches_no_longer(api: httpx.Client) -> None:
    browser, left, right = fresh("browser"), fresh_email(), fresh_email()
    first = seen(api, email=left, browser_id=browser)
    second = seen(api, email=right, browser_id=browser)
    assert [found for found, _, _ in possible(api, first)] == [second]
    answer = api.post("/merge", json={"internal_user_ids": [first, second], "reason": "same person"})
    assert answer.status_code == 200
    assert possible(api, first) == []
    assert seen(api, browser_id=browser) == first
