"""CONTRACT 1: `Idempotency-Key` names events that have no id; `Prefer: return=minimal` shortens the answer."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest

from tests.contracts.answers import post_events, stored
from tests.contracts.payloads import array, batch, campaign_event, fresh, identified_event, single


def keyed(api: httpx.Client, key: str, body: object) -> list[str]:
    """Posts with an `Idempotency-Key`; the ids in the answer."""
    response = post_events(api, body, Idempotency_Key=key)
    assert response.status_code == 202, response.text
    return [result["event_id"] for result in response.json()["results"]]


@pytest.mark.parametrize("shape", [single, batch, array])
def test_a_repeated_request_with_the_same_key_is_a_duplicate(api: httpx.Client, shape: object) -> None:
    assert callable(shape)
    event, key = identified_event(event_id=...), fresh("key")
    first = post_events(api, shape([event]), Idempotency_Key=key).json()
    again = post_events(api, shape([event]), Idempotency_Key=key).json()
    assert (first["accepted"], first["duplicates"]) == (1, 0)
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert again["results"][0]["event_id"] == first["results"][0]["event_id"]
    assert not again["results"][0].get("conflict")


def test_an_id_made_from_the_key_is_a_uuid_version_5_of_key_and_position(api: httpx.Client) -> None:
    key = fresh("key")
    events = [identified_event(event_id=...) for _ in range(3)]
    ids = keyed(api, key, events)
    assert [uuid.UUID(text).version for text in ids] == [5, 5, 5]
    assert len(set(ids)) == 3
    assert ids != keyed(api, fresh("key"), events)


def test_the_position_counts_events_with_an_id_of_their_own(api: httpx.Client) -> None:
    key, unnamed = fresh("key"), identified_event(event_id=...)
    first = keyed(api, key, [campaign_event(), unnamed])
    response = post_events(api, [identified_event(), unnamed], Idempotency_Key=key).json()
    assert response["results"][1]["event_id"] == first[1]
    assert response["results"][1]["duplicate"] is True


def test_the_key_does_not_touch_events_that_have_an_id(api: httpx.Client) -> None:
    key, events = fresh("key"), [campaign_event(), identified_event()]
    assert keyed(api, key, events) == [event["event_id"] for event in events]


def test_the_same_key_with_another_content_is_a_conflict(api: httpx.Client) -> None:
    key = fresh("key")
    keyed(api, key, identified_event(event_id=...))
    (result,) = post_events(api, identified_event(event_id=...), Idempotency_Key=key).json()["results"]
    assert (result["duplicate"], result["conflict"]) == (True, True)


def test_without_a_key_each_event_gets_a_new_uuid_version_7(api: httpx.Client) -> None:
    before = time.time()
    event = identified_event(event_id=...)
    ids = [result["event_id"] for result in stored(api, [event, event])]
    ids.extend(result["event_id"] for result in stored(api, event))
    assert len(set(ids)) == 3
    for text in ids:
        made = uuid.UUID(text)
        assert made.version == 7
        assert before - 1 <= (made.int >> 80) / 1000 <= time.time() + 1


@pytest.mark.parametrize("key", ["x" * 255, "ключ".encode().decode("latin-1"), "a b\tc", '"quoted"', "{}"])
def test_any_key_that_a_header_can_hold_is_answered(api: httpx.Client, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    response = api.post("/events", json=identified_event(event_id=...), headers=headers)
    assert response.status_code in (202, 400), response.text


@pytest.mark.parametrize(
    "preference", ["return=minimal", 'return="minimal"', "respond-async, return=minimal", "RETURN=minimal"]
)
def test_a_minimal_answer_lists_only_errors_duplicates_and_conflicts(api: httpx.Client, preference: str) -> None:
    known = campaign_event()
    stored(api, known)
    events = [
        campaign_event(),
        known,
        campaign_event(type="nonsense"),
        identified_event(),
        {**known, "type": "impression"},
        campaign_event(),
    ]
    response = post_events(api, events, Prefer=preference)
    answer = response.json()
    assert response.status_code == 202
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (3, 2, 1)
    assert [result["event_id"] for result in answer["results"]] == [events[place]["event_id"] for place in (1, 2, 4)]
    duplicate, error, conflict = answer["results"]
    assert duplicate["duplicate"] is True
    assert error["errors"]["type"]
    assert conflict["conflict"] is True


def test_a_minimal_answer_about_accepted_events_lists_nothing(api: httpx.Client) -> None:
    answer = post_events(api, [campaign_event() for _ in range(5)], Prefer="return=minimal").json()
    assert answer["accepted"] == 5
    assert answer["results"] == []


@pytest.mark.parametrize("preference", ["return=representation", "respond-async", "handling=lenient"])
def test_other_preferences_change_nothing(api: httpx.Client, preference: str) -> None:
    assert len(post_events(api, [campaign_event()], Prefer=preference).json()["results"]) == 1


def test_a_minimal_answer_to_a_bad_single_event_keeps_its_errors(api: httpx.Client) -> None:
    response = post_events(api, campaign_event(type="nonsense"), Prefer="return=minimal")
    assert response.status_code == 422
    assert "type" in response.json()["errors"]
    assert "type" in response.json()["results"][0]["errors"]
