"""The rules for single events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from dmp_chassis.instants import instant_us
from dmp_ingest.domain.event import SubmittedEvent
from tests.ingest.events import NOW, accepted, campaign, errors_of


def test_a_campaign_event_needs_id_type_campaign_and_source() -> None:
    assert set(errors_of(SubmittedEvent(occurred_at=instant_us(NOW)))) == {"event_id", "type", "campaign_id", "source"}


def test_an_activity_event_needs_id_type_and_user() -> None:
    assert set(errors_of(SubmittedEvent(ts=instant_us(NOW)))) == {"event_id", "type", "user_id"}


def test_an_identified_event_needs_type_source_and_an_identifier() -> None:
    assert set(errors_of(SubmittedEvent(timestamp=1))) == {"event_type", "source", "identifiers"}
    assert set(errors_of(SubmittedEvent(timestamp=1, identifiers={"email": " ", "ip": None}))) == {
        "event_type",
        "source",
        "identifiers",
    }


def test_an_identified_event_without_an_id_gets_one() -> None:
    event = SubmittedEvent(timestamp=1, event_type="click", identifiers={"email": "a@b.com"})
    assert accepted(event, source="web").event_id == "new-id"


def test_a_campaign_event_without_an_id_gets_none() -> None:
    assert errors_of(campaign(event_id=None)) == {"event_id": ["is required"]}
    assert errors_of(campaign(event_id="")) == {"event_id": ["is required"]}


def test_the_batch_gives_its_source_to_events_that_name_none() -> None:
    assert accepted(campaign(source=None), source="batch").source == "batch"
    assert accepted(campaign(), source="batch").source == "web"


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"occurred_at": instant_us(NOW), "ts": instant_us(NOW)},
        {"ts": instant_us(NOW), "timestamp": 1},
        {"occurred_at": instant_us(NOW), "timestamp": 0},
    ],
)
def test_exactly_one_time_is_required(times: dict[str, object]) -> None:
    errors = errors_of(campaign(**{"occurred_at": None, "user_id": "u", **times}))
    assert errors == {"occurred_at": ["exactly one of occurred_at, ts and timestamp is required"]}


def test_type_and_event_type_are_one_field() -> None:
    assert accepted(campaign(type=None, event_type="view")).type == "view"
    assert accepted(campaign(type="view", event_type="view")).type == "view"
    assert set(errors_of(campaign(type="view", event_type="click"))) == {"type"}
    assert set(errors_of(campaign(type="unheard_of"))) == {"type"}
    assert set(errors_of(campaign(type=None, event_type="unheard_of"))) == {"event_type"}


@pytest.mark.parametrize(
    ("event_type", "counts_as"), [("impression", 1), ("ad_impression", 1), ("ad_click", 2), ("view", 0)]
)
def test_a_type_counts_as_the_policy_says(event_type: str, counts_as: int) -> None:
    assert accepted(campaign(type=event_type)).counts_as == counts_as


@pytest.mark.parametrize("seconds", [-120, 0, 120])
def test_an_activity_event_within_two_minutes_of_the_clock_is_accepted(seconds: int) -> None:
    accepted(campaign(occurred_at=None, ts=instant_us(NOW + timedelta(seconds=seconds)), user_id="u"))


@pytest.mark.parametrize("offset", [timedelta(seconds=120, microseconds=1), -timedelta(seconds=120, microseconds=1)])
def test_an_activity_event_further_from_the_clock_is_refused(offset: timedelta) -> None:
    assert set(errors_of(campaign(occurred_at=None, ts=instant_us(NOW + offset), user_id="u"))) == {"ts"}


def test_a_campaign_event_may_be_old_but_not_a_day_ahead() -> None:
    accepted(campaign(occurred_at=instant_us(datetime(1970, 1, 1, tzinfo=UTC))))
    accepted(campaign(occurred_at=instant_us(NOW + timedelta(hours=24))))
    assert set(errors_of(campaign(occurred_at=instant_us(NOW + timedelta(hours=24, microseconds=1))))) == {
        "occurred_at"
    }
    late = SubmittedEvent(timestamp=NOW.timestamp() + 86401, type="click", source="s", identifiers={"email": "a"})
    assert set(errors_of(late)) == {"timestamp"}


@pytest.mark.parametrize("timestamp", [1e300, -1e300, 10**40, -(10**12), 1e12])
def test_an_impossible_timestamp_is_refused(timestamp: float) -> None:
    event = SubmittedEvent(timestamp=timestamp, type="click", source="s", identifiers={"email": "a"}, event_id="x")
    assert set(errors_of(event)) == {"timestamp"}


def test_a_fraction_of_a_timestamp_is_kept_to_the_microsecond() -> None:
    event = SubmittedEvent(timestamp=1700000000.123456, type="click", source="s", identifiers={"email": "a"})
    assert accepted(event).occurred_at_us == 1_700_000_000_123_456


@pytest.mark.parametrize("field", ["event_id", "source", "campaign_id", "creative_id", "user_id"])
def test_texts_are_bounded_and_clean(field: str) -> None:
    accepted(campaign(**{field: "é" * 255}))
    assert set(errors_of(campaign(**{field: "x" * 256}))) == {field}
    assert set(errors_of(campaign(**{field: "a\x00b"}))) == {field}
    assert set(errors_of(campaign(**{field: "a\ud800b"}))) == {field}


def test_the_users_own_id_is_an_identifier_and_the_first() -> None:
    event = accepted(
        campaign(user_id=" u1 ", identifiers={"email": " a@b.com ", "ip": "::1", "user_id": "u2", "phone": ""})
    )
    assert event.identifiers == (("user_id", "u1"), ("email", "a@b.com"), ("ip_address", "::1"), ("user_id", "u2"))
    assert (event.user_id, event.person) == ("u1", "u1")
    assert accepted(campaign(identifiers={"user_id": "u2"})).person == "u2"


def test_unknown_long_and_unclean_identifiers_are_named() -> None:
    assert set(errors_of(campaign(identifiers={"shoe_size": "42"}))) == {"identifiers.shoe_size"}
    assert set(errors_of(campaign(identifiers={"phone": "1" * 65}))) == {"identifiers.phone"}
    assert set(errors_of(campaign(identifiers={"email": "a\x00"}))) == {"identifiers.email"}


def metadata(text: bytes) -> dict[str, list[str]]:
    return errors_of(campaign(metadata=msgspec.Raw(text)))


def test_metadata_is_kept_as_it_was_sent() -> None:
    text = b'{ "b":1.50,\n"a" :"\\u00e9" }'
    assert accepted(campaign(metadata=msgspec.Raw(text))).metadata == text
    assert accepted(campaign(metadata=msgspec.Raw(b"null"))).metadata == b""


def test_metadata_is_an_object_of_bounded_size_and_depth() -> None:
    assert set(metadata(b"[1]")) == {"metadata"}
    assert metadata(b'{"a":"' + b"x" * (16384 - 8) + b'"}') == {}
    assert set(metadata(b'{"a":"' + b"x" * (16384 - 7) + b'"}')) == {"metadata"}
    assert metadata(b'{"a":' * 64 + b"1" + b"}" * 64) == {}
    assert set(metadata(b'{"a":' * 65 + b"1" + b"}" * 65)) == {"metadata"}
    assert metadata(b'{"a":"' + b"[{" * 100 + b'"}') == {}


def test_metadata_has_no_nul_and_no_lone_surrogate() -> None:
    assert set(metadata(b'{"a":"\\u0000"}')) == {"metadata"}
    assert set(metadata(b'{"\\u0000":1}')) == {"metadata"}
    assert set(metadata(b'{"a":["\\ud800"]}')) == {"metadata"}
    assert set(metadata(b'{"a":"\xff"}')) == {"metadata"}
    assert metadata(b'{"a":"\\\\u0000"}') == {}


def test_every_problem_is_reported_at_once() -> None:
    event = SubmittedEvent(
        event_id="x" * 300, type="no", occurred_at=instant_us(NOW + timedelta(days=2)), identifiers={"no": "1"}
    )
    assert set(errors_of(event)) == {"event_id", "type", "occurred_at", "source", "campaign_id", "identifiers.no"}


def test_equal_content_has_equal_fingerprints_whatever_the_id() -> None:
    one = accepted(campaign(event_id="1"))
    two = accepted(campaign(event_id="22", occurred_at=instant_us(NOW.astimezone())))
    other = accepted(campaign(event_id="1", creative_id="x"))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert one.key != two.key
    assert one.key == other.key


INVISIBLE = [" ", "\t\n", "\x01", "\x7f", "\x7f \x7f", "\u200b", "\u00a0", "\u2060\ufeff", " " * 255]


@pytest.mark.parametrize("text", INVISIBLE)
def test_a_text_that_nobody_can_see_counts_as_absent(text: str) -> None:
    assert errors_of(campaign(campaign_id=text)) == {"campaign_id": ["is required"]}
    assert errors_of(campaign(source=text)) == {"source": ["is required"]}
    assert errors_of(campaign(event_id=text)) == {"event_id": ["is required"]}
    assert accepted(campaign(source=text), source="batch").source == "batch"
    assert accepted(campaign(creative_id=text)).creative_id == ""


@pytest.mark.parametrize("text", ["a", "~", " a", "\u200ba", "\x7fa", "Ωmega", "🎉"])
def test_a_text_with_something_to_see_stands_as_it_is(text: str) -> None:
    assert accepted(campaign(campaign_id=text)).campaign_id == text
