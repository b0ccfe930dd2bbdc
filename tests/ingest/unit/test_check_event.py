"""The rules for single events."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from dmp_chassis.instants import EARLIEST_US, LATEST_US, OUT_OF_RANGE, instant_problem, instant_us
from dmp_ingest.domain.check_event import check_foreign, check_unreadable, visible
from dmp_ingest.domain.event import (
    AcceptableEvent,
    ForeignEvent,
    RejectedEvent,
    SubmittedEvent,
    UnreadableEvent,
    rejected_event,
)
from dmp_ingest.domain.event_key import event_key
from dmp_ingest.domain.event_time import NO_TIME
from tests.ingest.events import NOW, NOW_US, POLICY, accepted, campaign, check, errors_of


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


@pytest.mark.parametrize("event_id", [None, "e"])
def test_a_rejected_event_has_the_id_that_it_came_with(event_id: str | None) -> None:
    event = SubmittedEvent(event_id=event_id, timestamp=1, type="unheard_of", source="s", identifiers={"email": "a"})
    verdict = check(event)
    assert isinstance(verdict, RejectedEvent)
    assert verdict.event_id == (event_id or "")


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


TYPES = (
    "must be one of impression, click, view, purchase, page_view, form_submit, session_start, session_end, "
    "ad_impression, ad_click"
)
KNOWN = "is not a known identifier: email, phone, wallet_address, browser_id, ip_address, user_id, ip"
AHEAD = "must not be more than 24 hours ahead of the server's clock"
LONG = "must have at most 64 characters"
NOT_TEXT = "must be valid text without NUL characters"


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"type": None}, {"type": ["is required"]}),
        ({"type": ""}, {"type": ["is required"]}),
        ({"type": "x"}, {"type": [TYPES]}),
        ({"type": None, "event_type": "x"}, {"event_type": [TYPES]}),
        ({"type": None, "occurred_at": None, "timestamp": 1, "user_id": "u"}, {"event_type": ["is required"]}),
        (
            {"type": "view", "event_type": "click"},
            {"type": ["type and event_type are one field: they must not differ"]},
        ),
        (
            {"type": "x", "event_type": "y"},
            {"type": ["type and event_type are one field: they must not differ", TYPES]},
        ),
        ({"occurred_at": None}, {"occurred_at": [NO_TIME]}),
        ({"occurred_at": None, "type": None, "event_type": "view"}, {"timestamp": [NO_TIME]}),
        ({"occurred_at": "soon"}, {"occurred_at": [instant_problem("soon")]}),
        ({"occurred_at": None, "ts": "soon", "user_id": "u"}, {"ts": [instant_problem("soon")]}),
        ({"occurred_at": LATEST_US + 1}, {"occurred_at": [OUT_OF_RANGE]}),
        ({"occurred_at": EARLIEST_US - 1}, {"occurred_at": [OUT_OF_RANGE]}),
        ({"occurred_at": EARLIEST_US}, {}),
        ({"occurred_at": 0}, {}),
        (
            {"occurred_at": NOW_US + 86_400_000_001},
            {"occurred_at": ["must not be more than 24 hours ahead of the server's clock"]},
        ),
        (
            {"occurred_at": None, "ts": NOW_US - 120_000_001, "user_id": "u"},
            {"ts": ["must be within 120 seconds of the server's clock"]},
        ),
        (
            {"occurred_at": None, "timestamp": 10**11, "user_id": "u"},
            {"timestamp": ["must be a number of Unix seconds; milliseconds?"]},
        ),
        ({"occurred_at": None, "timestamp": 10**11 - 1, "user_id": "u"}, {"timestamp": [AHEAD]}),
        ({"occurred_at": None, "timestamp": 1 - 10**11, "user_id": "u"}, {"timestamp": [OUT_OF_RANGE]}),
        ({"occurred_at": None, "timestamp": -1.5, "user_id": "u"}, {}),
        ({"occurred_at": None, "timestamp": 2**32, "user_id": "u"}, {"timestamp": [AHEAD]}),
        ({"occurred_at": None, "timestamp": 1, "user_id": ""}, {"identifiers": ["at least one value is required"]}),
        ({"campaign_id": None}, {"campaign_id": ["is required"]}),
        ({"source": None}, {"source": ["is required"]}),
        ({"occurred_at": None, "ts": NOW_US, "campaign_id": None, "source": None, "user_id": "u"}, {}),
        ({"occurred_at": None, "ts": NOW_US}, {"user_id": ["is required"]}),
        ({"source": "x" * 256}, {"source": ["must have at most 255 characters"]}),
        ({"source": "x" * 255, "campaign_id": "y" * 255, "creative_id": "z" * 255, "user_id": "u" * 255}, {}),
        ({"user_id": "a\0"}, {"user_id": [NOT_TEXT]}),
        ({"user_id": "x" * 256 + "\0"}, {"user_id": ["must have at most 255 characters", NOT_TEXT]}),
        (
            {"identifiers": {f"n{number}": "" for number in range(65)}},
            {"identifiers": ["must have at most 64 entries"]},
        ),
        (
            {"identifiers": {f"n{number}": "" for number in range(64)}},
            {"identifiers.n0": [KNOWN]}
            | {f"identifiers.n{number}": [KNOWN] for number in range(1, 19)}
            | {"event": ["has more problems than are listed"]},
        ),
        ({"identifiers": {"x" * 64: "", "email": "a@b.com"}}, {f"identifiers.{'x' * 64}": [KNOWN]}),
        ({"identifiers": {"x" * 65: ""}}, {"identifiers.(unreadable)": [KNOWN]}),
        ({"identifiers": {"x\0": ""}}, {"identifiers.(unreadable)": [KNOWN]}),
        ({"identifiers": {"no": "1", "phone": "1" * 65}}, {"identifiers.no": [KNOWN], "identifiers.phone": [LONG]}),
        (
            {"identifiers": {"phone": "", "email": "é" * 321}},
            {"identifiers.email": ["must have at most 320 characters"]},
        ),
        ({"identifiers": {"phone": "1" * 64, "email": "é" * 320}}, {}),
        ({"identifiers": {"phone": "\ud800"}}, {"identifiers.phone": [NOT_TEXT]}),
        ({"occurred_at": None, "timestamp": 1, "identifiers": {"no": "1"}}, {"identifiers.no": [KNOWN]}),
        ({"metadata": msgspec.Raw(b"[1]")}, {"metadata": ["must be a JSON object"]}),
        ({"metadata": msgspec.Raw(b'{"a":"\\u0000"}')}, {"metadata": [NOT_TEXT]}),
        ({"metadata": msgspec.Raw(b"{" + b" " * 16_383 + b"}")}, {"metadata": ["must have at most 16384 bytes"]}),
        (
            {"metadata": msgspec.Raw(b'{"a":' * 65 + b"1" + b"}" * 65)},
            {"metadata": ["must not be nested deeper than 64 levels"]},
        ),
    ],
)
def test_what_is_said_of_each_problem(fields: dict[str, object], problems: dict[str, list[str]]) -> None:
    assert errors_of(campaign(**fields)) == problems


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "view"},
        {"source": "app"},
        {"campaign_id": "d"},
        {"creative_id": "k"},
        {"user_id": "v"},
        {"occurred_at": NOW_US - 1},
        {"identifiers": {"email": "b@b.com"}},
        {"identifiers": {"email": "a@b.com", "phone": "1"}},
        {"metadata": msgspec.Raw(b'{"a":2}')},
        # Equal texts in other fields are other content.
        {"campaign_id": "u", "user_id": "c"},
    ],
)
def test_other_content_has_another_fingerprint(changed: dict[str, object]) -> None:
    plain: dict[str, object] = {
        "user_id": "u",
        "identifiers": {"email": "a@b.com"},
        "metadata": msgspec.Raw(b'{"a":1}'),
    }
    one, other = accepted(campaign(**plain)), accepted(campaign(**{**plain, **changed}))
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == accepted(campaign(**plain, event_id="another")).fingerprint


def test_fingerprints_never_change() -> None:
    """They are stored: with another one, an event that comes again is compared in full."""
    full = campaign(creative_id="k", user_id="u", identifiers={"email": "é"}, metadata=msgspec.Raw(b"{}"))
    assert accepted(campaign()).fingerprint == 1_610_602_787_583_630_443
    assert accepted(full).fingerprint == 6_067_299_186_952_327_091


def test_a_valid_event_is_stored_as_it_was_sent() -> None:
    event = campaign(
        type=None,
        event_type="ad_click",
        creative_id="k",
        user_id=" u ",
        identifiers={"ip": " ::1 ", "email": None, "user_id": "u"},
        metadata=msgspec.Raw(b'{"a":1}'),
    )
    assert accepted(event) == AcceptableEvent(
        key=event_key("a"),
        fingerprint=accepted(event).fingerprint,
        event_id="a",
        type="ad_click",
        counts_as=2,
        source="web",
        occurred_at_us=NOW_US,
        campaign_id="c",
        creative_id="k",
        user_id="u",
        person="u",
        identifiers=(("user_id", "u"), ("ip_address", "::1")),
        metadata=b'{"a":1}',
    )


def test_the_user_of_an_event_is_an_identifier_and_the_person() -> None:
    event = accepted(campaign(user_id="u"))
    assert (event.user_id, event.person, event.identifiers) == ("u", "u", (("user_id", "u"),))
    event = accepted(campaign())
    assert (event.user_id, event.person, event.identifiers) == ("", "", ())


def test_an_event_whose_id_is_wrong_is_rejected_without_an_id() -> None:
    for event_id in ("x" * 256, "a\0", " "):
        verdict = check(campaign(event_id=event_id))
        assert isinstance(verdict, RejectedEvent)
        assert verdict.event_id == ""
        assert set(verdict.errors) == {"event_id"}
        unreadable = UnreadableEvent(
            event_id=event_id, readable=campaign(event_id=event_id), errors={"ts": ["must be text"]}
        )
        rejected = check_unreadable(unreadable, event_id, event_key(event_id), POLICY, NOW_US, "")
        assert rejected.event_id == ""
        assert set(rejected.errors) == {"event_id", "ts"}


def test_of_an_event_that_could_not_be_read_the_other_fields_are_checked_too() -> None:
    unreadable = UnreadableEvent(
        event_id="", readable=campaign(event_id=None, type="x", source=None), errors={"ts": ["must be text"]}
    )
    assert check_unreadable(unreadable, "", event_key(""), POLICY, NOW_US, "") == RejectedEvent(
        event_id="",
        errors={
            "ts": ["must be text"],
            "event_id": ["is required"],
            "type": [TYPES],
            "source": ["is required"],
        },
    )


@pytest.mark.parametrize(
    ("text", "is_visible"),
    [
        ("a", True),
        ("!", True),
        ("~", True),
        (" a", True),
        ("\x7fa", True),
        ("é", True),
        ("", False),
        (" \t", False),
        ("\x7f", False),
        ("\u200b\u3000", False),
        # So many characters are looked at as an id may have, and one more.
        ("\u200b" * 255 + "a", True),
        ("\u200b" * 256 + "a", False),
    ],
)
def test_a_text_without_a_visible_character_is_none(text: str, is_visible: bool) -> None:
    assert visible(text) == (text if is_visible else "")


def test_the_first_user_id_among_the_identifiers_is_the_person() -> None:
    event = accepted(campaign(identifiers={"email": "a@b.com", "user_id": "u"}))
    assert (event.user_id, event.person) == ("", "u")
    assert accepted(campaign(identifiers={"email": "a@b.com"})).person == ""


def test_an_event_that_could_not_be_read_is_rejected_with_all_its_problems() -> None:
    readable = campaign(type="x", event_id="a")
    unreadable = UnreadableEvent(event_id="a", readable=readable, errors={"ts": ["must be text"], "type": ["first"]})
    result = check_unreadable(unreadable, "a", event_key("a"), POLICY, NOW_US, "")
    assert result == RejectedEvent(event_id="a", errors={"ts": ["must be text"], "type": ["first"]})
    no_id = UnreadableEvent(event_id="", readable=campaign(event_id="?"), errors={"event_id": ["must be text"]})
    assert check_unreadable(no_id, "", event_key(""), POLICY, NOW_US, "").errors == {"event_id": ["must be text"]}
    assert check_unreadable(no_id, "", event_key(""), POLICY, NOW_US, "").event_id == ""
    identified = SubmittedEvent(timestamp=1, type="click", source="s", user_id="u")
    no_need = UnreadableEvent(event_id="", readable=identified, errors={"metadata": ["must be an object"]})
    assert check_unreadable(no_need, "", event_key(""), POLICY, NOW_US, "").errors == {
        "metadata": ["must be an object"]
    }


def test_the_source_of_the_batch_counts_for_events_that_could_not_be_read_or_are_of_another_format() -> None:
    readable = campaign(source=None)
    unreadable = UnreadableEvent(event_id="a", readable=readable, errors={"ts": ["must be text"]})
    assert check_unreadable(unreadable, "a", event_key("a"), POLICY, NOW_US, "web").errors == {"ts": ["must be text"]}
    foreign = ForeignEvent(readable=readable, hints={"id": ["is event_id here"]})
    assert check_foreign(foreign, "a", event_key("a"), POLICY, NOW_US, "web") == accepted(campaign())


def test_an_event_of_another_format_that_is_rejected_is_told_our_names() -> None:
    foreign = ForeignEvent(readable=campaign(type="x"), hints={"id": ["is event_id here"]})
    result = check_foreign(foreign, "a", event_key("a"), POLICY, NOW_US, "")
    assert result == RejectedEvent(event_id="a", errors={"type": [TYPES], "id": ["is event_id here"]})


@pytest.mark.parametrize("count", [1, 20, 21, 200])
def test_a_rejected_event_names_at_most_twenty_fields(count: int) -> None:
    errors = {f"f{number}": ["wrong"] for number in range(count)}
    expected = (
        errors
        if count <= 20
        else {f"f{n}": ["wrong"] for n in range(19)} | {"event": ["has more problems than are listed"]}
    )
    assert rejected_event("a", dict(errors)) == RejectedEvent(event_id="a", errors=expected)
