"""Reading bodies: three shapes, and everything else that clients send."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.api.json_body import read_body
from dmp_ingest.domain.check_event import check_unreadable
from dmp_ingest.domain.errors import MalformedBodyError
from dmp_ingest.domain.event import RefusedEvent, SubmittedEvent, UnreadableEvent
from dmp_ingest.domain.event_key import event_key
from tests.ingest.events import NOW_US, POLICY, check


def test_the_three_shapes() -> None:
    event = {"event_id": "a", "type": "click"}
    single = read_body(json.dumps(event).encode(), POLICY)
    batch = read_body(json.dumps({"source": "s", "events": [event, event]}).encode(), POLICY)
    array = read_body(b"  \n" + json.dumps([event]).encode(), POLICY)
    assert (single.single, len(single.events)) == (True, 1)
    assert (batch.single, batch.source, len(batch.events)) == (False, "s", 2)
    assert (array.single, len(array.events)) == (False, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[",
        b"{]",
        b'{"a":NaN}',
        b"\xef\xbb\xbf[]",
        b"[" * 10000 + b"]" * 10000,
        b"\x1f\x8b\x08",
        b"'a'",
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        read_body(body, POLICY)


@pytest.mark.parametrize("body", [b"null", b"5", b'"x"', b"true"])
def test_json_of_another_shape_is_refused_as_a_whole(body: bytes) -> None:
    assert set(read_body(body, POLICY).errors) == {"body"}


def test_a_batch_must_have_an_array_and_a_text_for_source() -> None:
    assert set(read_body(b'{"events": 5}', POLICY).errors) == {"events"}
    assert set(read_body(b'{"events": [], "source": 5}', POLICY).errors) == {"source"}


def test_every_event_of_the_wrong_type_is_refused_in_its_place() -> None:
    events = read_body(
        b'[null, {"event_id": 5}, {"event_id": "ok"}, [], {"ts": "yesterday", "metadata": []}]', POLICY
    ).events
    kinds = [
        set(event.errors) if isinstance(event, (UnreadableEvent, RefusedEvent)) else event.event_id for event in events
    ]
    assert kinds == [{"event"}, {"event_id"}, "ok", {"event"}, {"ts", "metadata"}]


def test_a_number_as_identifier_is_read_digit_by_digit() -> None:
    body = (
        b'{"identifiers": {"phone": 12345678901234567890123, "user_id": 1.50, "email": 5, "ip": true}, "user_id": 77}'
    )
    event = read_body(body, POLICY).events[0]
    assert isinstance(event, (UnreadableEvent, RefusedEvent))
    assert set(event.errors) == {"identifiers.email", "identifiers.ip"}
    event = read_body(
        b'{"identifiers": {"phone": 12345678901234567890123, "browser_id": 1.50}, "user_id": 77}', POLICY
    ).events[0]
    assert isinstance(event, SubmittedEvent)
    assert event.identifiers == {"phone": "12345678901234567890123", "browser_id": "1.50"}
    assert event.user_id == "77"


def test_metadata_stays_byte_for_byte_also_beside_a_bad_event() -> None:
    metadata = b'{"z": 1.50 , "a":{"x" :[1e3]}}'
    for body in (b'[{"metadata":' + metadata + b"}]", b'[{"metadata":' + metadata + b',"user_id":5},{"type":5}]'):
        event = read_body(body, POLICY).events[0]
        assert isinstance(event, SubmittedEvent)
        assert bytes(event.metadata) == metadata


@pytest.mark.parametrize("text", [b"\\ud800", b"\\u0000", b"\xff"])
def test_unclean_text_refuses_its_event_only(text: bytes) -> None:
    events = read_body(b'[{"event_id":"' + text + b'"},{"event_id":"ok","type":"click"}]', POLICY).events
    assert isinstance(_judged(events[0]), RefusedEvent)
    assert isinstance(events[1], SubmittedEvent)


@pytest.mark.parametrize(
    "stamp", ["2026-02-10T21:10:00Z", "2026-02-10T21:10:00.123456+05:30", "20260210T211000Z", "2026-02-10T21:10Z"]
)
def test_iso_8601_in_its_usual_forms_is_a_time(stamp: str) -> None:
    event = read_body(json.dumps([{"occurred_at": stamp}, {"occurred_at": 5}]).encode(), POLICY).events[0]
    assert isinstance(event, SubmittedEvent)
    assert event.occurred_at is not None


@pytest.mark.parametrize(
    "stamp", ["2026-02-10T21:10:00", "2026-02-10", "now", "", "2026-13-10T21:10:00Z", "1700000000"]
)
def test_a_time_without_zone_or_sense_is_refused(stamp: str) -> None:
    event = read_body(json.dumps({"occurred_at": stamp}).encode(), POLICY).events[0]
    assert isinstance(event, (UnreadableEvent, RefusedEvent))
    assert set(event.errors) == {"occurred_at"}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        "event_id",
        "type",
        "event_type",
        "source",
        "occurred_at",
        "ts",
        "timestamp",
        "campaign_id",
        "user_id",
        "identifiers",
        "metadata",
        "x",
    ]
)


@given(st.lists(st.dictionaries(names, json_values, max_size=6), max_size=4))
def test_an_event_reads_the_same_alone_and_beside_a_bad_one(events: list[dict[str, object]]) -> None:
    together = read_body(json.dumps([*events, 5]).encode(), POLICY).events[:-1]
    alone = [read_body(json.dumps([event]).encode(), POLICY).events[0] for event in events]
    assert [_judged(event) for event in together] == [_judged(event) for event in alone]


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_is_too_strange_to_be_answered(body: bytes) -> None:
    try:
        events = read_body(body, POLICY).events
    except MalformedBodyError:
        return
    for event in events:
        _judged(event)


def _judged(event: SubmittedEvent | UnreadableEvent | RefusedEvent) -> object:
    if isinstance(event, RefusedEvent):
        return event
    if isinstance(event, UnreadableEvent):
        return check_unreadable(event, event.event_id, event_key(event.event_id), POLICY, NOW_US, "")
    return check(event)


def refused(body: bytes) -> set[str]:
    """The fields for which the first event of a body is refused."""
    result = _judged(read_body(body, POLICY).events[0])
    assert isinstance(result, RefusedEvent)
    return set(result.errors)


def test_what_can_be_read_is_checked_although_something_cannot() -> None:
    body = (
        b'{"event_id":"","type":"nonsense","campaign_id":null,"source":"web","occurred_at":"yesterday","metadata":[]}'
    )
    assert refused(body) == {"event_id", "type", "campaign_id", "occurred_at", "metadata"}
    assert refused(b'{"ts": 5, "type": "click", "event_id": "a"}') == {"ts", "user_id"}
    assert refused(b'{"timestamp": "x", "event_type": 5}') == {"timestamp", "event_type", "source", "identifiers"}


VALID = b'"event_id":"a","type":"click","source":"web","campaign_id":"c"'


def test_a_nul_after_a_time_is_not_overlooked() -> None:
    assert refused(b"{" + VALID + b',"occurred_at":"2026-02-10T21:10:00Z\\u0000"}') == {"occurred_at"}


@pytest.mark.parametrize("text", [b"x\xff", b"\\u0000", b"\\ud800"])
def test_unclean_text_is_found_also_in_fields_that_nobody_reads(text: bytes) -> None:
    time = b',"occurred_at":"2026-02-10T21:10:00Z"'
    assert refused(b"{" + VALID + time + b',"unknown":{"deep":["' + text + b'"]}}') == {"unknown"}
    assert refused(b"{" + VALID + time + b',"' + text + b'":1}') == {"event"}
    assert refused(b"[{" + VALID + time + b',"unknown":"' + text + b'"}]') == {"unknown"}


def test_an_escaped_emoji_is_clean() -> None:
    event = read_body(
        b"{" + VALID + b',"occurred_at":"2026-02-10T21:10:00Z","user_id":"\\ud83d\\ude00"}', POLICY
    ).events[0]
    assert isinstance(event, SubmittedEvent)
    assert event.user_id == "\U0001f600"
