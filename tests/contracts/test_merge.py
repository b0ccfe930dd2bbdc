"""CONTRACT 2: `POST /merge`, by which a person says that profiles are one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contracts.answers import assert_error, match, person_of, user
from tests.contracts.payloads import fresh, fresh_email, identified_event


def people(api: httpx.Client, count: int) -> tuple[list[str], list[str]]:
    """New profiles, oldest first, and their e-mail addresses."""
    emails = [fresh_email() for _ in range(count)]
    return [person_of(api, identified_event(identifiers={"email": email})) for email in emails], emails


def merge(api: httpx.Client, *profiles: str, **more: object) -> httpx.Response:
    return api.post("/merge", json={"internal_user_ids": list(profiles), **more})


@pytest.mark.parametrize("turned", [False, True])
def test_the_oldest_survives_a_merge(api: httpx.Client, turned: bool) -> None:
    profiles, emails = people(api, 2)
    response = merge(api, *(reversed(profiles) if turned else profiles), reason="called them")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["internal_user_id"] == profiles[0]
    assert answer["merge_id"]
    assert answer["identifiers"]["emails"] == emails
    for profile in profiles:
        shown = user(api, profile)
        assert shown["internal_user_id"] == profiles[0]
        assert shown["merged_ids"] == [profiles[1]]
        assert len(shown["events"]) == 2
    assert match(api, "email", emails[1])["internal_user_id"] == profiles[0]
    assert person_of(api, identified_event(identifiers={"email": emails[1]})) == profiles[0]


def test_a_reason_is_not_needed(api: httpx.Client) -> None:
    profiles, _ = people(api, 2)
    assert merge(api, *profiles).json()["internal_user_id"] == profiles[0]


def test_several_profiles_are_merged_at_once(api: httpx.Client) -> None:
    profiles, _ = people(api, 5)
    assert merge(api, *reversed(profiles)).json()["internal_user_id"] == profiles[0]
    assert user(api, profiles[4])["merged_ids"] == profiles[1:]


def test_merging_again_does_nothing(api: httpx.Client) -> None:
    profiles, _ = people(api, 2)
    merge(api, *profiles)
    before = user(api, profiles[0])
    response = merge(api, *profiles)
    assert response.status_code == 200
    assert response.json()["internal_user_id"] == profiles[0]
    assert not response.json().get("merge_id")
    assert user(api, profiles[0]) == before


@pytest.mark.parametrize("times", [1, 2, 3])
def test_fewer_than_two_different_people_are_left_alone(api: httpx.Client, times: int) -> None:
    (profile,), _ = people(api, 1)
    response = merge(api, *[profile] * times)
    assert response.status_code == 200, response.text
    assert response.json()["internal_user_id"] == profile
    assert not response.json().get("merge_id")
    assert user(api, profile)["merged_ids"] == []


def test_an_old_id_stands_for_its_survivor(api: httpx.Client) -> None:
    profiles, _ = people(api, 4)
    merge(api, profiles[2], profiles[3])
    merge(api, profiles[0], profiles[1])
    assert merge(api, profiles[3], profiles[1]).json()["internal_user_id"] == profiles[0]
    assert {user(api, profile)["internal_user_id"] for profile in profiles} == {profiles[0]}


def test_an_unknown_id_is_not_found_and_nothing_is_merged(api: httpx.Client) -> None:
    profiles, _ = people(api, 2)
    assert_error(merge(api, *profiles, "user_nobody0"), 404, "NOT_FOUND")
    assert_error(merge(api, "user_nobody0"), 404, "NOT_FOUND")
    assert user(api, profiles[1])["internal_user_id"] == profiles[1]


@pytest.mark.parametrize(
    "body",
    [
        {"internal_user_ids": {"a": 1}},
        {"internal_user_ids": [{}]},
        {"internal_user_ids": [[]]},
        [],
        "text",
        {"internal_user_ids": ["user_nobody1\x00", "user_nobody2"]},
        {"internal_user_ids": ["user_nobody1", "user_nobody2"], "reason": {}},
        {"internal_user_ids": ["user_nobody1", "user_nobody2"], "reason": "a\x00"},
    ],
    ids=str,
)
def test_a_body_of_another_form_is_refused(api: httpx.Client, body: object) -> None:
    response = api.post("/merge", json=body)
    assert response.status_code in (400, 404)
    assert_error(response, response.status_code)


@pytest.mark.parametrize("given", ["{}", 5, {"0": "{}"}, [["{}"]], [5], [None]])
def test_what_is_no_list_of_texts_is_refused(api: httpx.Client, given: object) -> None:
    person = person_of(api, identified_event(identifiers={"email": fresh_email()}))
    ids = given.format(person) if isinstance(given, str) else given
    assert_error(api.post("/merge", json={"internal_user_ids": ids}), 400, "INVALID_ARGUMENT")


def test_too_many_ids_are_refused(api: httpx.Client) -> None:
    (profile,), _ = people(api, 1)
    assert_error(merge(api, *[profile] * 101), 400, "INVALID_ARGUMENT")


def test_the_same_merge_from_many_clients_happens_once(crowd: httpx.Client, api: httpx.Client) -> None:
    profiles, _ = people(api, 4)

    def ask(number: int) -> dict[str, Any]:
        response = merge(crowd, *(profiles if number % 2 else reversed(profiles)))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert {answer["internal_user_id"] for answer in answers} == {profiles[0]}
    assert user(api, profiles[3])["merged_ids"] == profiles[1:]
    assert sum(bool(answer.get("merge_id")) for answer in answers) == 1


def test_a_browser_of_merged_people_has_one_owner(api: httpx.Client) -> None:
    browser = fresh("browser")
    profiles = [
        person_of(api, identified_event(identifiers={"email": fresh_email(), "browser_id": browser})) for _ in range(2)
    ]
    merge(api, *profiles)
    assert person_of(api, identified_event(identifiers={"browser_id": browser})) == profiles[0]
