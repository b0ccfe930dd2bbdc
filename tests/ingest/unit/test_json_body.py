"""Reading bodies: three shapes, and everything else that clients send."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.api.json_body import read_body
from dmp_ingest.api.json_event import ReadEvent
from dmp_ingest.domain.check_event import check_foreign, check_unreadable
from dmp_ingest.domain.errors import MalformedBodyError, TooLargeError
from dmp_ingest.domain.event import AcceptableEvent, ForeignEvent, RejectedEvent, SubmittedEvent, UnreadableEvent
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
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf[]",
        b"[" * 10000 + b"]" * 9999,
        b'[{"a":' * 10000,
        b'{"event_id":"a"} x',
        b'[{"event_id":"a"},]',
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
        set(event.errors) if isinstance(event, (UnreadableEvent, RejectedEvent)) else event.event_id for event in events
    ]
    assert kinds == [{"event"}, {"event_id"}, "ok", {"event"}, None]
    assert refused(b'{"ts": "yesterday", "metadata": []}') == {"event_id", "ts", "metadata", "type", "user_id"}


def test_a_number_as_identifier_is_read_digit_by_digit() -> None:
    body = (
        b'{"identifiers": {"phone": 12345678901234567890123, "user_id": 1.50, "email": 5, "ip": true}, "user_id": 77}'
    )
    event = read_body(body, POLICY).events[0]
    assert isinstance(event, (UnreadableEvent, RejectedEvent))
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
    assert isinstance(_judged(events[0]), RejectedEvent)
    assert isinstance(events[1], SubmittedEvent)


@pytest.mark.parametrize("stamp", ["2026-02-10T21:10:00Z", "2026-02-10t21:10:00z", "2026-02-10 21:10:00.1234569+00:00"])
@pytest.mark.parametrize("neighbour", [b"", b',{"occurred_at":5}', b',{"event_id":"\\ud83d"}', b',{"x":"\xff"}'])
def test_a_time_is_read_alike_whoever_the_neighbours_are(stamp: str, neighbour: bytes) -> None:
    body = b'[{"event_id":"a","type":"click","source":"s","campaign_id":"c","occurred_at":"' + stamp.encode() + b'"}'
    event = _judged(read_body(body + neighbour + b"]", POLICY).events[0])
    assert isinstance(event, AcceptableEvent)
    assert event.occurred_at_us // 1_000_000 == 1_770_757_800


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ('"2026-02-10T21:10:00"', "Z or an offset is missing"),
        ('"2026-02-10"', "the time of day is missing"),
        ('"now"', "RFC 3339"),
        ('""', "RFC 3339"),
        ('"2026-13-10T21:10:00Z"', "no such date"),
        ('"2026-02-10T24:00:00Z"', "no hour 24"),
        ('"2026-02-10T21:10:60Z"', "no second 60"),
        ('"1700000000"', "a number"),
        ('"1700000000000"', "milliseconds?"),
        ("1700000000000", "milliseconds?"),
        ("1" * 100, "RFC 3339"),
        ("true", "RFC 3339"),
        ("{}", "RFC 3339"),
    ],
)
@pytest.mark.parametrize("field", ["occurred_at", "ts"])
def test_a_time_without_zone_or_sense_is_refused_and_said_why(field: str, stamp: str, said: str) -> None:
    result = _judged(read_body(f'{{"{field}": {stamp}}}'.encode(), POLICY).events[0])
    assert isinstance(result, RejectedEvent)
    assert said in result.errors[field][0]


@pytest.mark.parametrize("value", ["1.7e12", "1700000000000", '"1700000000000"', "-1e300", "1e400", "9" * 5000])
def test_a_timestamp_in_milliseconds_is_asked_about(value: str) -> None:
    body = f'{{"timestamp": {value}, "type": "click", "source": "s", "identifiers": {{"email": "a@b.c"}}}}'.encode()
    result = _judged(read_body(body, POLICY).events[0])
    assert isinstance(result, RejectedEvent)
    assert "milliseconds?" in result.errors["timestamp"][0]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert len(read_body(b"\xef\xbb\xbf[{}]", POLICY).events) == 1


@pytest.mark.parametrize("wrap", [b"[%s]", b'{"events":[%s]}', b'{"source":"s","events":[%s,5]}'])
@pytest.mark.parametrize("element", [b"1", b"{}", b"[]", b'""', b'{"a":"\\ud83d"}', b'{"identifiers":{}}'])
def test_events_are_counted_before_they_are_read(wrap: bytes, element: bytes) -> None:
    read_body(wrap % b",".join([element] * 9_999), POLICY)
    with pytest.raises(TooLargeError):
        read_body(wrap % b",".join([element] * 10_001), POLICY)


@pytest.mark.parametrize("depth", [63, 64, 65, 150, 500, 900, 1000, 5_000, 100_000])
@pytest.mark.parametrize("field", ["metadata", "unknown"])
def test_an_event_that_nests_too_deeply_is_refused_in_its_place(field: str, depth: int) -> None:
    deep = b'{"event_id":"d","' + field.encode() + b'":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    for body in (deep, b"[" + deep + b"]", b'{"events":[{"event_id":"ok"},' + deep + b"]}"):
        event = _judged(read_body(body, POLICY).events[-1])
        assert isinstance(event, RejectedEvent)
        told = event.errors.get(field)
        assert told == (None if depth <= 64 else ["must not be nested deeper than 64 levels"])


def test_another_formats_fields_are_hinted_at_if_the_event_is_refused() -> None:
    cloud = b'{"specversion":"1.0","id":"1","time":"2026-02-10T21:10:00Z","type":"click","source":"s","data":{}'
    assert refused(cloud + b"}") >= {"id", "time", "data", "specversion", "event_id"}
    known = b',"event_id":"a","campaign_id":"c","occurred_at":"2026-02-10T21:10:00Z"}'
    assert isinstance(_judged(read_body(cloud + known, POLICY).events[0]), AcceptableEvent)


@pytest.mark.parametrize(
    "event",
    [
        {f"k{n}": "\0" for n in range(5_000)},
        {f"k{n}": "\0" for n in range(65_000)},
        {"identifiers": {f"k{n}": 1 for n in range(60)}},
        {"identifiers": {f"k{n}": None for n in range(1_000)}},
        {"identifiers": {f"k{n}": "\0" for n in range(60)}},
        {"identifiers": {"k" * 100_000: True}},
    ],
    ids=["5000 fields", "65000 fields", "60 identifiers", "1000 identifiers", "60 unclean identifiers", "a long name"],
)
def test_the_problems_of_an_event_are_bounded(event: dict[str, object]) -> None:
    result = _judged(read_body(json.dumps(event).encode(), POLICY).events[0])
    assert isinstance(result, RejectedEvent)
    assert len(result.errors) <= 20
    assert len(json.dumps(result.errors)) < 5_000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
VALID_EVENT = (
    b'{"event_id":"v","type":"click","source":"web","campaign_id":"c","occurred_at":"2026-02-10T21:10:00Z",'
    b'"metadata":{"a" : 1.50}}'
)


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


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


known_values = st.sampled_from(
    [
        b'"a"',
        b'"click"',
        b'"2026-02-10T21:10:00z"',
        b'"2026-02-10 21:10:59.9999999+00:00"',
        b'"2026-02-10T23:59:60Z"',
        b"1700000000.25",
        b"1e400",
        b"-0",
        b"12345678901234567890123",
        b'"\\ud83d"',
        b'"\\ud83d\\ude00"',
        b'"\\u0000"',
        b'"\xff"',
        b'" "',
        b'"\\ufdd0"',
        b'{"x":1e400,"x":1.0}',
        b'{"user_id":5,"email":"a@b.c","email":" "}',
        b'{"ip":"1.2.3.4"}',
        b"null",
        b"[[]]",
        b'{"a":' * 70 + b"1" + b"}" * 70,
    ]
)
pairs = st.tuples(names.map(lambda name: json.dumps(name).encode()), known_values | json_values.map(_dumped))
raw_events = st.lists(pairs, max_size=7).map(
    lambda fields: b"{" + b",".join(name + b": " + value for name, value in fields) + b"}"
) | st.sampled_from([b"5", b"[]", b"null", b'"\xff"', VALID_EVENT])
stories = st.lists(raw_events, min_size=1, max_size=5)


@given(stories)
def test_an_event_is_read_the_same_whoever_its_neighbours_are(events: list[bytes]) -> None:
    alone = [_judged(read_body(b"[" + event + b"]", POLICY).events[0]) for event in events]
    array = read_body(b"[" + b" , ".join(events) + b"]", POLICY)
    batch = read_body(b'{"events":[' + b",".join(events) + b"]}", POLICY)
    assert [_judged(event) for event in array.events] == alone
    assert [_judged(event) for event in batch.events] == alone
    for event, verdict in zip(events, alone, strict=True):
        if event.startswith(b"{"):
            assert _judged(read_body(event, POLICY).events[0]) == verdict


@given(st.lists(pairs, max_size=7))
def test_a_field_nobody_knows_changes_nothing(fields: list[tuple[bytes, bytes]]) -> None:
    event = b",".join(name + b":" + value for name, value in fields if name != b'"x"')
    known = _judged(read_body(b"{" + event + b"}", POLICY).events[0])
    unknown = _judged(read_body(b"{" + event + (b"," if event else b"") + b'"other":[1]}', POLICY).events[0])
    assert unknown == known


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_is_too_strange_to_be_answered(body: bytes) -> None:
    try:
        events = read_body(body, POLICY).events
    except MalformedBodyError:
        return
    for event in events:
        _judged(event)


def _judged(event: ReadEvent) -> AcceptableEvent | RejectedEvent:
    if isinstance(event, RejectedEvent):
        return event
    if isinstance(event, ForeignEvent):
        event_id = event.event_id or ""
        return check_foreign(event, event_id, event_key(event_id), POLICY, NOW_US, "")
    if isinstance(event, UnreadableEvent):
        return check_unreadable(event, event.event_id, event_key(event.event_id), POLICY, NOW_US, "")
    return check(event)


def refused(body: bytes) -> set[str]:
    """The fields for which the first event of a body is refused."""
    result = _judged(read_body(body, POLICY).events[0])
    assert isinstance(result, RejectedEvent)
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
