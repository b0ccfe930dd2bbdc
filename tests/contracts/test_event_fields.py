"""CONTRACT 1: what an event must have, and that every problem is reported under the name of its field."""

from __future__ import annotations

import httpx
import pytest

from tests.contracts.answers import assert_names_field, post_events, rejected_errors, stored
from tests.contracts.payloads import (
    FORMS,
    Maker,
    activity_event,
    campaign_event,
    compact,
    fresh,
    identified_event,
)

MUST_HAVE = [
    ("campaign", "event_id"),
    ("campaign", "type"),
    ("campaign", "campaign_id"),
    ("campaign", "source"),
    ("activity", "event_id"),
    ("activity", "user_id"),
    ("activity", "type"),
    ("identified", "event_type"),
    ("identified", "identifiers"),
    ("identified", "source"),
]
MISSING: list[object] = [..., None, ""]


def named(field: str) -> tuple[str, ...]:
    """The names under which a problem of `field` may be reported: the type has two spellings."""
    return ("type", "event_type") if field in ("type", "event_type") else (field,)


@pytest.mark.parametrize("missing", MISSING, ids=["absent", "null", "empty"])
@pytest.mark.parametrize(("form", "field"), MUST_HAVE)
def test_a_missing_field_is_named(api: httpx.Client, form: str, field: str, missing: object) -> None:
    if field == "identifiers" and isinstance(missing, str):
        missing = {"email": missing}
    assert_names_field(rejected_errors(post_events(api, FORMS[form](**{field: missing}))), *named(field))


@pytest.mark.parametrize("wrong", [7, 1.5, True, [], {}, ["x"], {"a": "b"}], ids=repr)
@pytest.mark.parametrize(("form", "field"), [pair for pair in MUST_HAVE if pair[1] not in ("identifiers", "user_id")])
def test_a_field_of_the_wrong_kind_is_named(api: httpx.Client, form: str, field: str, wrong: object) -> None:
    assert_names_field(rejected_errors(post_events(api, FORMS[form](**{field: wrong}))), *named(field))


@pytest.mark.parametrize("wrong", [[], {}, True, ["x"]], ids=repr)
@pytest.mark.parametrize(("make", "field"), [(activity_event, "user_id"), (campaign_event, "creative_id")])
def test_an_optional_field_of_the_wrong_kind_is_named(
    api: httpx.Client, make: Maker, field: str, wrong: object
) -> None:
    assert_names_field(rejected_errors(post_events(api, make(**{field: wrong}))), field)


def test_all_problems_are_reported_at_once(api: httpx.Client) -> None:
    event = campaign_event(event_id="", type="nonsense", campaign_id=None, occurred_at="yesterday", metadata=[])
    errors = rejected_errors(post_events(api, event))
    assert {"event_id", "type", "campaign_id", "occurred_at", "metadata"} <= set(errors)


@pytest.mark.parametrize("unknown", ["nonsense", "Click", "CLICK", "click ", "conversion", "click|view"])
@pytest.mark.parametrize("form", FORMS)
def test_another_type_is_invalid(api: httpx.Client, form: str, unknown: str) -> None:
    event = FORMS[form](type=unknown, event_type=...)
    assert_names_field(rejected_errors(post_events(api, event)), "type", "event_type")


@pytest.mark.parametrize("character", ["x", "ü", "語", "😀"])
@pytest.mark.parametrize("form", FORMS)
def test_an_event_id_has_up_to_255_characters(api: httpx.Client, form: str, character: str) -> None:
    longest = (fresh("event") + character * 255)[:255]
    (result,) = stored(api, FORMS[form](event_id=longest))
    assert result["event_id"] == longest
    errors = rejected_errors(post_events(api, FORMS[form](event_id=longest + character)))
    assert_names_field(errors, "event_id")


def test_an_event_id_of_one_character_is_enough(api: httpx.Client) -> None:
    response = post_events(api, campaign_event(event_id="x"))
    answer = response.json()
    assert response.status_code == 202
    assert answer["accepted"] + answer["duplicates"] == 1


def test_an_event_id_is_any_text(api: httpx.Client) -> None:
    for text in (fresh("no uuid"), fresh("ünï"), fresh("a/b?c=d&e#f"), fresh("'; drop table events; --"), fresh('"\\')):
        (result,) = stored(api, campaign_event(event_id=text))
        assert result["event_id"] == text


def test_an_identified_event_may_leave_out_its_id(api: httpx.Client) -> None:
    events = [identified_event(event_id=...), identified_event(event_id=None)]
    ids = [result["event_id"] for result in stored(api, events)]
    assert all(ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize("make", [campaign_event, activity_event])
def test_other_events_must_have_an_id(api: httpx.Client, make: Maker) -> None:
    assert "event_id" in rejected_errors(post_events(api, make(event_id=...)))


@pytest.mark.parametrize("field", ["source", "campaign_id", "creative_id", "user_id"])
def test_texts_longer_than_255_characters_are_named(api: httpx.Client, field: str) -> None:
    stored(api, campaign_event(**{field: (fresh("x") + "ü" * 255)[:255]}))
    assert_names_field(rejected_errors(post_events(api, campaign_event(**{field: "x" * 256}))), field)


@pytest.mark.parametrize("field", ["creative_id", "user_id", "identifiers", "metadata"])
def test_an_optional_field_may_be_null(api: httpx.Client, field: str) -> None:
    stored(api, campaign_event(**{field: None}))


@pytest.mark.parametrize("value", [[], "text", 7, True, [{}]], ids=repr)
@pytest.mark.parametrize("form", FORMS)
def test_metadata_must_be_an_object(api: httpx.Client, form: str, value: object) -> None:
    assert_names_field(rejected_errors(post_events(api, FORMS[form](metadata=value))), "metadata")


def padded_metadata(size: int) -> bytes:
    """A JSON object of exactly `size` bytes."""
    frame = compact({"text": "", "n": 1})
    return frame.replace(b'""', b'"' + b"m" * (size - len(frame)) + b'"')


@pytest.mark.parametrize("form", FORMS)
def test_metadata_may_have_16_kib(api: httpx.Client, form: str) -> None:
    event = compact(FORMS[form](metadata={})).replace(b'"metadata":{}', b'"metadata":' + padded_metadata(16 * 1024))
    response = api.post("/events", content=event)
    assert response.status_code == 202, response.text


@pytest.mark.parametrize("form", FORMS)
def test_metadata_over_16_kib_is_named(api: httpx.Client, form: str) -> None:
    event = compact(FORMS[form](metadata={})).replace(b'"metadata":{}', b'"metadata":' + padded_metadata(16 * 1024 + 1))
    assert_names_field(rejected_errors(api.post("/events", content=event)), "metadata")


def test_metadata_is_stored_as_sent(api: httpx.Client) -> None:
    metadata = {
        "ip": "1.2.3.4",
        "placement": "feed_top",
        "nested": {"list": [1, 2.5, None, True, "ü😀", {"deep": {}}], "empty": []},
        "": "empty key",
        'quote"s': "\\ \u2028 \t",
        "no number": "007",
    }
    event = campaign_event(metadata=metadata)
    stored(api, event)
    response = api.get(f"/events/{event['event_id']}")
    assert response.status_code == 200, response.text
    assert response.json()["event"]["metadata"] == metadata


def test_deeply_nested_metadata_is_stored_or_refused_but_never_breaks(api: httpx.Client) -> None:
    for depth in (30, 60, 90, 120, 500, 2000):
        text = b'{"a":' * depth + b"1" + b"}" * depth
        event = campaign_event(metadata={})
        body = compact(event).replace(b'"metadata":{}', b'"metadata":' + text)
        response = api.post("/events", content=body)
        assert response.status_code in (202, 400, 422), (depth, response.text)
        if response.status_code == 202:
            assert api.get(f"/events/{event['event_id']}").status_code < 500, depth
