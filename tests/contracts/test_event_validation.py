"""`POST /events:validate`: the verdicts of `POST /events`, and nothing is stored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contracts.answers import campaign_total, post_events
from tests.contracts.payloads import FORMS, SHAPES, Json, campaign_event, fresh


def validate(api: httpx.Client, body: Any) -> httpx.Response:  # noqa: ANN401 - any JSON
    return api.post("/events:validate", json=body)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_is_valid_in_every_shape(api: httpx.Client, shape: str, form: str) -> None:
    response = validate(api, SHAPES[shape]([FORMS[form]()]))
    assert response.status_code == 200, response.text
    assert response.json() == {"valid": 1, "rejected": 0, "results": []}


def test_the_verdicts_are_those_of_sending(api: httpx.Client) -> None:
    events: list[Json | Any] = [
        campaign_event(type="nonsense"),
        campaign_event(),
        campaign_event(occurred_at="yesterday"),
        campaign_event(occurred_at="2999-01-01T00:00:00Z"),
        campaign_event(metadata={"text": "x" * 20_000}),
        campaign_event(event_id=""),
        {"event_id": fresh("event")},
        7,
        None,
    ]
    judged, sent = validate(api, events).json(), post_events(api, events).json()
    assert (judged["valid"], judged["rejected"]) == (sent["accepted"], sent["rejected"]) == (1, 8)
    assert [result["position"] for result in judged["results"]] == [0, 2, 3, 4, 5, 6, 7, 8]
    rejected = [result for result in sent["results"] if result["status"] == "error"]
    assert [(r["event_id"], r["message"], r["errors"]) for r in judged["results"]] == [
        (r["event_id"], r["message"], r["errors"]) for r in rejected
    ]


def test_nothing_is_stored(api: httpx.Client) -> None:
    event = campaign_event()
    assert validate(api, event).json()["valid"] == 1
    assert api.get(f"/events/{event['event_id']}").status_code == 404
    assert post_events(api, event).json()["accepted"] == 1
    assert sum(campaign_total(api, event["campaign_id"])) == 1


def test_what_is_odd_is_named(api: httpx.Client) -> None:
    event = campaign_event(campaign_id="{{campaign}}")
    (result,) = validate(api, event).json()["results"]
    assert result["warnings"] == {"campaign_id": ["is a macro that was not filled"]}
    assert "errors" not in result


@pytest.mark.parametrize(("body", "status"), [(b"[]", 422), (b"7", 422), (b"{", 400), (b"", 400)])
def test_a_body_without_events(api: httpx.Client, body: bytes, status: int) -> None:
    response = api.post("/events:validate", content=body)
    assert response.status_code == status, response.text
    if status == 422:
        assert response.json()["errors"]


def test_too_much_is_refused(api: httpx.Client) -> None:
    assert validate(api, [{}] * 10_001).status_code == 413
    assert api.post("/events:validate", content=b" " * (1024 * 1024 + 1)).status_code == 413
    assert api.get("/events:validate").status_code == 405
