"""CONTRACT 1: one path, three body shapes, three event forms, one answer."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.contracts.answers import PROFILE_ID, campaign_total, post_events, stored
from tests.contracts.payloads import (
    FORMS,
    SHAPES,
    Json,
    activity_event,
    array,
    batch,
    campaign_event,
    compact,
    fresh,
    fresh_email,
    from_now,
    identified_event,
)

CONTENT_TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "text/html",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_is_accepted_in_every_shape(api: httpx.Client, shape: str, form: str) -> None:
    event = FORMS[form]()
    response = post_events(api, SHAPES[shape]([event]))
    assert response.status_code == 202, response.text
    assert response.headers["content-type"].split(";")[0] == "application/json"
    answer = response.json()
    assert {name: answer[name] for name in ("accepted", "duplicates", "rejected", "applied")} == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": 0,
        "applied": True,
    }
    (result,) = answer["results"]
    assert result["event_id"] == event["event_id"]
    assert result["status"] == "success"
    assert result["duplicate"] is False
    assert result["message"] == "accepted"
    assert not result.get("errors")
    assert not result.get("conflict")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_is_accepted_in_every_shape_over_http2(http2_api: httpx.Client, shape: str, form: str) -> None:
    response = post_events(http2_api, SHAPES[shape]([FORMS[form]()]))
    assert response.http_version == "HTTP/2"
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == 1


@pytest.mark.parametrize("shape", ["batch", "array"])
def test_forms_may_be_mixed_in_one_request(api: httpx.Client, shape: str) -> None:
    events = [make() for make in FORMS.values()]
    results = stored(api, SHAPES[shape](events))
    assert [result["event_id"] for result in results] == [event["event_id"] for event in events]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_any_content_type_is_read_as_json(api: httpx.Client, content_type: str) -> None:
    response = api.post("/events", content=compact(campaign_event()), headers={"content-type": content_type})
    assert response.status_code == 202, response.text


def test_no_content_type_is_read_as_json(api: httpx.Client) -> None:
    request = api.build_request("POST", "/events", content=compact([campaign_event()]))
    request.headers.pop("content-type", None)
    assert api.send(request).status_code == 202


def test_blanks_around_the_body_do_not_matter(api: httpx.Client) -> None:
    body = b" \r\n\t" + compact([campaign_event()]) + b"\n\n "
    assert api.post("/events", content=body).status_code == 202


def test_results_stand_in_request_order(api: httpx.Client) -> None:
    known = campaign_event()
    stored(api, known)
    events: list[Any] = []
    expected: list[tuple[str, bool]] = []
    for number in range(60):
        if number % 3 == 0:
            events.append(campaign_event())
            expected.append(("success", False))
        elif number % 3 == 1:
            events.append(campaign_event(type="nonsense"))
            expected.append(("error", False))
        else:
            events.append(known)
            expected.append(("success", True))
    answer = post_events(api, events).json()
    assert [result["event_id"] for result in answer["results"]] == [event["event_id"] for event in events]
    assert [(result["status"], bool(result.get("duplicate"))) for result in answer["results"]] == expected
    assert (answer["accepted"], answer["rejected"], answer["duplicates"]) == (20, 20, 20)


@pytest.mark.parametrize("bad", [{}, None, 7, "text", [], {"event_id": None}, campaign_event(type="nonsense")])
@pytest.mark.parametrize("shape", ["batch", "array"])
def test_one_bad_event_never_spoils_its_neighbours(api: httpx.Client, shape: str, bad: object) -> None:
    events: list[Any] = [campaign_event(), bad, identified_event(), activity_event()]
    response = post_events(api, SHAPES[shape](events))
    answer = response.json()
    assert response.status_code == 202, answer
    assert [result["status"] for result in answer["results"]] == ["success", "error", "success", "success"]
    assert (answer["accepted"], answer["rejected"]) == (3, 1)
    assert answer["results"][1]["message"]
    assert answer["results"][1]["errors"]


@pytest.mark.parametrize("shape", ["batch", "array"])
def test_422_when_no_event_of_several_is_valid(api: httpx.Client, shape: str) -> None:
    response = post_events(api, SHAPES[shape]([campaign_event(type="x"), identified_event(identifiers={})]))
    answer = response.json()
    assert response.status_code == 422, answer
    assert (answer["accepted"], answer["rejected"]) == (0, 2)
    assert [result["status"] for result in answer["results"]] == ["error", "error"]
    assert "type" in answer["results"][0]["errors"]
    assert "identifiers" in answer["results"][1]["errors"]


def test_202_when_duplicates_are_all_that_is_valid(api: httpx.Client) -> None:
    event = campaign_event()
    stored(api, event)
    response = post_events(api, [event, campaign_event(type="nonsense")])
    answer = response.json()
    assert response.status_code == 202
    assert (answer["accepted"], answer["duplicates"], answer["rejected"]) == (0, 1, 1)


def test_the_batch_names_the_source_of_events_that_name_none(api: httpx.Client) -> None:
    email = fresh_email()
    own = identified_event(identifiers={"email": email}, source="own_source", timestamp=1)
    inherited = identified_event(identifiers={"email": email}, source=..., timestamp=2)
    profile = stored(api, batch([own, inherited]))[0]["internal_user_id"]
    events = api.get(f"/users/{profile}").json()["events"]
    assert [event["source"] for event in events] == ["own_source", "batch_source"]


def test_a_batch_may_leave_the_source_to_its_events(api: httpx.Client) -> None:
    stored(api, {"events": [campaign_event(), identified_event()]})


def test_an_array_has_no_source_to_lend(api: httpx.Client) -> None:
    response = post_events(api, array([identified_event(source=...)]))
    assert response.status_code == 422
    assert "source" in response.json()["results"][0]["errors"]


@pytest.mark.parametrize("spelling", ["type", "event_type"])
@pytest.mark.parametrize("form", FORMS)
def test_type_has_two_spellings_in_every_form(api: httpx.Client, form: str, spelling: str) -> None:
    event = FORMS[form](type=..., event_type=...)
    stored(api, {**event, spelling: "page_view"})


@pytest.mark.parametrize(
    "known",
    [
        "impression",
        "click",
        "view",
        "purchase",
        "page_view",
        "form_submit",
        "session_start",
        "session_end",
        "ad_impression",
        "ad_click",
    ],
)
def test_all_known_types_are_accepted(api: httpx.Client, known: str) -> None:
    stored(api, [make(type=known, event_type=...) for make in FORMS.values()])


def test_fields_that_the_contract_does_not_name_are_ignored(api: httpx.Client) -> None:
    stored(api, [make(colour="red", nested={"a": [1, None]}) for make in FORMS.values()])


def test_the_answer_names_the_person_when_one_is_known(api: httpx.Client) -> None:
    events = [identified_event(), activity_event(), campaign_event(user_id=str(uuid.uuid4()))]
    for result in stored(api, events):
        assert PROFILE_ID.fullmatch(result["internal_user_id"])


def test_an_event_about_nobody_names_no_person(api: httpx.Client) -> None:
    (result,) = stored(api, campaign_event())
    assert not result.get("internal_user_id")


def test_the_optional_fields_of_a_campaign_event_are_accepted(api: httpx.Client) -> None:
    event: Json = campaign_event(
        creative_id="cr_456",
        user_id=str(uuid.uuid4()),
        identifiers={"email": fresh_email()},
        metadata={"ip": "1.2.3.4"},
    )
    stored(api, event)


def test_events_of_other_forms_count_for_the_campaign_they_name(api: httpx.Client) -> None:
    campaign = fresh("camp")
    stored(api, identified_event(event_type="ad_click", timestamp=1770757800, campaign_id=campaign, creative_id="cr"))
    stored(api, activity_event(type="click", campaign_id=campaign, source="s", metadata={}, identifiers={}))
    assert campaign_total(api, campaign) == (0, 1)
    assert campaign_total(api, campaign, from_now(-120), from_now(0)) == (0, 1)
