"""CONTRACT 1: a NUL character, a lone surrogate or invalid UTF-8 anywhere is invalid input, never a `500`."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.contracts.answers import assert_error, stored
from tests.contracts.payloads import Json, campaign_event, compact, fresh, identified_event

MARK = b"@@"
ESCAPES = {
    "NUL": b"\\u0000",
    "high surrogate": b"\\ud800",
    "low surrogate": b"\\udc00",
    "reversed pair": b"\\udc00\\ud800",
}
BYTES = {
    "stray continuation byte": b"\x80",
    "0xFF": b"\xff",
    "overlong NUL": b"\xc0\x80",
    "surrogate in UTF-8": b"\xed\xa0\x80",
    "cut short": b"\xe2\x82",
    "beyond Unicode": b"\xf4\x90\x80\x80",
}
PLACES: dict[str, Callable[[], Json]] = {
    "event_id": lambda: campaign_event(event_id="a@@b"),
    "type": lambda: campaign_event(type="click@@"),
    "campaign_id": lambda: campaign_event(campaign_id="@@"),
    "source": lambda: campaign_event(source="we@@b"),
    "creative_id": lambda: campaign_event(creative_id="x@@"),
    "user_id": lambda: campaign_event(user_id="x@@"),
    "occurred_at": lambda: campaign_event(occurred_at="2026-02-10T21:10:00Z@@"),
    "metadata value": lambda: campaign_event(metadata={"a": ["x@@y"]}),
    "metadata key": lambda: campaign_event(metadata={"x@@y": 1}),
    "email": lambda: identified_event(identifiers={"email": "a@@b@example.org"}),
    "browser_id": lambda: identified_event(identifiers={"email": "x@example.org", "browser_id": "x@@"}),
    "ip_address": lambda: identified_event(identifiers={"email": "x@example.org", "ip_address": "1.2.3.4@@"}),
}
IGNORED = {"unknown field": lambda: campaign_event(unknown="x@@"), "unknown key": lambda: campaign_event(**{"x@@": 1})}


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("place", PLACES)
def test_an_escaped_impossible_character_is_invalid_and_spoils_no_neighbour(
    api: httpx.Client, place: str, escape: str
) -> None:
    before, after = campaign_event(), identified_event()
    body = compact([before, PLACES[place](), after]).replace(MARK, ESCAPES[escape])
    response = api.post("/events", content=body)
    answer = response.json()
    assert response.status_code == 202, response.text
    assert [result["status"] for result in answer["results"]] == ["success", "error", "success"]
    assert answer["results"][1]["errors"]
    assert (answer["accepted"], answer["rejected"]) == (2, 1)


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("place", PLACES)
def test_an_escaped_impossible_character_alone_is_refused(api: httpx.Client, place: str, escape: str) -> None:
    response = api.post("/events", content=compact(PLACES[place]()).replace(MARK, ESCAPES[escape]))
    assert response.status_code == 422, response.text
    assert response.json()["errors"]


@pytest.mark.parametrize("data", BYTES)
@pytest.mark.parametrize("place", [*PLACES, *IGNORED])
def test_invalid_utf8_is_refused(api: httpx.Client, place: str, data: str) -> None:
    make = PLACES.get(place) or IGNORED[place]
    response = api.post("/events", content=compact([make()]).replace(MARK, BYTES[data]))
    assert response.status_code in (400, 422), response.text
    if response.status_code == 400:
        assert_error(response, 400)


@pytest.mark.parametrize("place", IGNORED)
@pytest.mark.parametrize("escape", ESCAPES)
def test_an_impossible_character_where_nobody_looks_does_no_harm(api: httpx.Client, place: str, escape: str) -> None:
    response = api.post("/events", content=compact([IGNORED[place]()]).replace(MARK, ESCAPES[escape]))
    assert response.status_code in (202, 422), response.text


def test_a_nul_in_the_batchs_source_is_refused(api: httpx.Client) -> None:
    body = compact({"source": "a@@", "events": [identified_event(source=...)]}).replace(MARK, b"\\u0000")
    response = api.post("/events", content=body)
    assert response.status_code in (400, 422), response.text


@pytest.mark.parametrize("text", ["😀", "\uffff", "\u2028", "é" * 50, "\U0010ffff", "﷽", "a\u0301", "\x7f", "\x01"])
def test_every_other_character_is_stored(api: httpx.Client, text: str) -> None:
    event = campaign_event(event_id=fresh("event") + text, campaign_id=fresh("camp") + text, metadata={text: text})
    (result,) = stored(api, event)
    assert result["event_id"] == event["event_id"]


def test_a_surrogate_pair_in_escapes_is_one_character(api: httpx.Client) -> None:
    name = fresh("event")
    body = compact(campaign_event(event_id=name + "@@")).replace(MARK, b"\\ud83d\\ude00")
    response = api.post("/events", content=body)
    assert response.status_code == 202
    assert response.json()["results"][0]["event_id"] == name + "😀"
