"""CONTRACT 2: only strong identifiers merge; the oldest survives; an old id keeps working for ever."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import httpx
import pytest

from tests.contracts.answers import match, person_of, post_events, stored, user
from tests.contracts.payloads import (
    activity_event,
    campaign_event,
    fresh,
    fresh_email,
    fresh_phone,
    fresh_wallet,
    identified_event,
)

STRONG: dict[str, Callable[[], str]] = {
    "email": fresh_email,
    "phone": fresh_phone,
    "wallet_address": fresh_wallet,
    "user_id": lambda: fresh("u"),
}


def seen(api: httpx.Client, **identifiers: str) -> str:
    """The profile that an event with these identifiers goes to."""
    return person_of(api, identified_event(identifiers=identifiers))


@pytest.mark.parametrize("kind", STRONG)
def test_events_with_a_strong_identifier_in_common_share_a_profile(api: httpx.Client, kind: str) -> None:
    value = STRONG[kind]()
    first = seen(api, **{kind: value})
    assert seen(api, **{kind: value}) == first
    assert seen(api, **{kind: value}, browser_id=fresh("browser")) == first
    assert len(user(api, first)["events"]) == 3


@pytest.mark.parametrize("kind", STRONG)
def test_events_with_different_values_get_profiles_of_their_own(api: httpx.Client, kind: str) -> None:
    assert len({seen(api, **{kind: STRONG[kind]()}) for _ in range(3)}) == 3


@pytest.mark.parametrize(("known", "new"), list(itertools.permutations(STRONG, 2)))
def test_a_new_strong_identifier_joins_the_profile_of_a_known_one(api: httpx.Client, known: str, new: str) -> None:
    a, b = STRONG[known](), STRONG[new]()
    profile = seen(api, **{known: a})
    assert seen(api, **{known: a, new: b}) == profile
    assert seen(api, **{new: b}) == profile


@pytest.mark.parametrize(("left", "right"), list(itertools.combinations(STRONG, 2)))
def test_two_profiles_that_an_event_joins_become_one_and_the_older_survives(
    api: httpx.Client, left: str, right: str
) -> None:
    a, b = STRONG[left](), STRONG[right]()
    older = seen(api, **{left: a})
    younger = seen(api, **{right: b})
    assert older != younger
    assert seen(api, **{right: b, left: a}) == older
    shown = user(api, younger)
    assert shown["internal_user_id"] == older
    assert shown["merged_ids"] == [younger]
    assert len(shown["events"]) == 3
    assert user(api, older) == shown


def test_the_same_value_as_another_type_is_another_identifier(api: httpx.Client) -> None:
    value = fresh("same")
    assert seen(api, user_id=value) != seen(api, wallet_address=value)


def test_many_profiles_become_one_at_once(api: httpx.Client) -> None:
    values = {kind: make() for kind, make in STRONG.items()}
    profiles = [seen(api, **{kind: value}) for kind, value in values.items()]
    assert len(set(profiles)) == 4
    assert seen(api, **values) == profiles[0]
    shown = user(api, profiles[3])
    assert shown["internal_user_id"] == profiles[0]
    assert shown["merged_ids"] == profiles[1:]
    assert len(shown["events"]) == 5


def test_a_chain_of_merges_ends_at_the_oldest_from_every_id(api: httpx.Client) -> None:
    emails = [fresh_email() for _ in range(6)]
    profiles = [seen(api, email=email) for email in emails]
    # Join neighbours from the young end, so that every survivor is merged again later.
    for left, right in zip(range(4, -1, -1), range(5, 0, -1), strict=True):
        link = fresh("u")
        seen(api, email=emails[left], user_id=link)
        seen(api, email=emails[right], user_id=link)
    answers = [user(api, profile) for profile in profiles]
    assert {answer["internal_user_id"] for answer in answers} == {profiles[0]}
    assert answers[0]["merged_ids"] == profiles[1:]
    assert answers[0]["identifiers"]["emails"] == emails
    for email in emails:
        assert match(api, "email", email)["internal_user_id"] == profiles[0]


def test_the_oldest_survives_whichever_way_round_the_joining_event_names_them(api: httpx.Client) -> None:
    for order in itertools.permutations(["email", "phone", "user_id"]):
        values = {kind: STRONG[kind]() for kind in order}
        profiles = [seen(api, **{kind: values[kind]}) for kind in order]
        assert seen(api, **values) == profiles[0]


def test_later_events_of_a_merged_person_go_to_the_survivor(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    older, _ = seen(api, email=email), seen(api, phone=phone)
    seen(api, email=email, phone=phone)
    assert seen(api, phone=phone) == older
    assert seen(api, phone=phone, wallet_address=fresh_wallet()) == older


def test_a_merged_timeline_is_in_time_order(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    for second in (5, 1, 9):
        stored(api, identified_event(identifiers={"email": email}, timestamp=1700000000 + second))
    for second in (8, 2, 4):
        stored(api, identified_event(identifiers={"phone": phone}, timestamp=1700000000 + second))
    joining = identified_event(identifiers={"email": email, "phone": phone}, timestamp=1700000003)
    events = user(api, person_of(api, joining))["events"]
    assert [event["timestamp"] - 1700000000 for event in events] == [1, 2, 3, 4, 5, 8, 9]


def test_events_of_one_batch_are_resolved_together(api: httpx.Client) -> None:
    email, wallet = fresh_email(), fresh_wallet()
    results = stored(
        api,
        [
            identified_event(identifiers={"email": email}),
            identified_event(identifiers={"wallet_address": wallet}),
            identified_event(identifiers={"email": email, "wallet_address": wallet}),
            identified_event(identifiers={"wallet_address": wallet}),
        ],
    )
    survivors = {user(api, result["internal_user_id"])["internal_user_id"] for result in results}
    assert len(survivors) == 1
    shown = user(api, survivors.pop())
    assert len(shown["events"]) == 4
    assert (shown["identifiers"]["emails"], shown["identifiers"]["wallet_addresses"]) == ([email], [wallet])


def test_a_batch_that_joins_a_known_person_with_a_new_one_keeps_the_known(api: httpx.Client) -> None:
    email, phone = fresh_email(), fresh_phone()
    known = seen(api, email=email)
    results = stored(
        api,
        [
            identified_event(identifiers={"phone": phone}),
            identified_event(identifiers={"phone": phone, "email": email}),
        ],
    )
    assert {user(api, result["internal_user_id"])["internal_user_id"] for result in results} == {known}


@pytest.mark.parametrize("size", [2, 50])
def test_clusters_do_not_depend_on_how_events_are_batched(api: httpx.Client, size: int) -> None:
    stem = fresh("c")
    events = [
        identified_event(
            identifiers={"user_id": f"{stem}-{cluster}-{link}", "email": f"{stem}-{cluster}-{link + step}@example.org"}
        )
        for link in range(5)
        for step in (0, 1)
        for cluster in range(6)
    ]
    for start in range(0, len(events), size):
        stored(api, events[start : start + size])
    profiles = {
        cluster: {match(api, "email", f"{stem}-{cluster}-{link}@example.org")["internal_user_id"] for link in range(6)}
        for cluster in range(6)
    }
    assert all(len(found) == 1 for found in profiles.values()), profiles
    assert len(set.union(*profiles.values())) == 6


def test_a_user_id_joins_what_campaign_and_activity_events_say(api: httpx.Client) -> None:
    name, email = fresh("u"), fresh_email()
    profile = person_of(api, campaign_event(user_id=name))
    assert person_of(api, activity_event(user_id=name, identifiers={"email": email})) == profile
    assert seen(api, email=email) == profile


def test_an_own_user_id_and_one_among_the_identifiers_both_count(api: httpx.Client) -> None:
    own, other = fresh("u"), fresh("u")
    profile = person_of(api, campaign_event(user_id=own))
    answer = post_events(api, identified_event(user_id=own, identifiers={"user_id": other}))
    if answer.status_code == 202:
        assert match(api, "user_id", own)["internal_user_id"] == profile
        assert match(api, "user_id", other)["internal_user_id"] == profile
    else:
        assert answer.status_code == 422
