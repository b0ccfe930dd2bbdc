"""Rejected events are summed up by form, field and reason, in words of closed lists, without what was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from dmp_ingest.api.json_body import read_body
from dmp_ingest.domain.check_event import check_event, check_foreign, check_unreadable
from dmp_ingest.domain.event import AcceptableEvent, ForeignEvent, RejectedEvent, SubmittedEvent, UnreadableEvent
from dmp_ingest.domain.event_key import event_key
from dmp_ingest.domain.rejections import (
    NAMED_FIELDS,
    NO_REJECTIONS,
    REASON_OF,
    REASONS,
    ReadEvent,
    RejectionKind,
    Rejections,
    form_of,
    named_field,
    reason_of,
    rejections_of,
    sum_of,
)
from tests.ingest.events import NOW_US, POLICY

NOW = "2026-02-10T21:10:00Z"
CAMPAIGN: Mapping[str, Any] = {
    "event_id": "e", "type": "click", "source": "s", "campaign_id": "c", "occurred_at": NOW,
}  # fmt: skip
ACTIVITY: Mapping[str, Any] = {"event_id": "e", "type": "click", "user_id": "u", "ts": NOW}
IDENTIFIED: Mapping[str, Any] = {
    "event_id": "e", "type": "click", "source": "s", "timestamp": 1.0, "identifiers": {"email": "a@b.c"},
}  # fmt: skip

DEEP = json.loads('{"a":' * 100 + "1" + "}" * 100)


def kinds_of(event: object) -> dict[RejectionKind, int]:
    """What is said of one event that is sent as JSON."""
    read = read_body(json.dumps([event]).encode(), POLICY).events
    judged: list[AcceptableEvent | RejectedEvent] = []
    for each in read:
        if isinstance(each, RejectedEvent):
            judged.append(each)
        elif isinstance(each, UnreadableEvent):
            judged.append(check_unreadable(each, each.event_id, event_key("e"), POLICY, NOW_US, ""))
        elif isinstance(each, ForeignEvent):
            judged.append(check_foreign(each, each.event_id or "", event_key("e"), POLICY, NOW_US, ""))
        else:
            judged.append(check_event(each, each.event_id or "", event_key("e"), POLICY, NOW_US, ""))
    return dict(rejections_of(read, judged).kinds)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({**CAMPAIGN, "campaign_id": None}, ("campaign", "campaign_id", "missing")),
        ({**CAMPAIGN, "occurred_at": None, "type": "click"}, ("other", "occurred_at", "missing")),
        ({**IDENTIFIED, "identifiers": {}}, ("identified", "identifiers", "missing")),
        ({**CAMPAIGN, "timestamp": 1}, ("other", "timestamp", "contradictory")),
        ({**CAMPAIGN, "event_type": "view"}, ("campaign", "type", "contradictory")),
        ({**CAMPAIGN, "type": "jane@secret.example"}, ("campaign", "type", "unknown_value")),
        ({**IDENTIFIED, "identifiers": {"email": "a", "jane": "b"}}, ("identified", "identifiers", "unknown_value")),
        ({**CAMPAIGN, "occurred_at": "yesterday"}, ("campaign", "occurred_at", "not_a_time")),
        ({**IDENTIFIED, "timestamp": 1_700_000_000_000}, ("identified", "timestamp", "not_a_time")),
        ({**IDENTIFIED, "timestamp": -99_999_999_999}, ("identified", "timestamp", "not_a_time")),
        ({**ACTIVITY, "ts": "2020-01-01T00:00:00Z"}, ("activity", "ts", "far_from_now")),
        ({**CAMPAIGN, "occurred_at": "2999-01-01T00:00:00Z"}, ("campaign", "occurred_at", "far_from_now")),
        ({**CAMPAIGN, "source": 5}, ("campaign", "source", "wrong_type")),
        ({**CAMPAIGN, "metadata": []}, ("campaign", "metadata", "wrong_type")),
        ({**CAMPAIGN, "identifiers": 5}, ("campaign", "identifiers", "wrong_type")),
        (5, ("other", "event", "wrong_type")),
        ({**CAMPAIGN, "source": "a\0b"}, ("campaign", "source", "not_text")),
        ({**CAMPAIGN, "\ud800": 1}, ("campaign", "event", "not_text")),
        ({**CAMPAIGN, "identifiers": {"\ud800": "a"}}, ("campaign", "identifiers", "not_text")),
        ({**CAMPAIGN, "campaign_id": "c" * 256}, ("campaign", "campaign_id", "too_large")),
        ({**CAMPAIGN, "metadata": {"a": "x" * 20_000}}, ("campaign", "metadata", "too_large")),
        ({**CAMPAIGN, "metadata": DEEP}, ("campaign", "metadata", "too_deep")),
        ({**CAMPAIGN, "jane": DEEP}, ("campaign", "other", "too_deep")),
    ],
)
def test_what_is_wrong_is_said_in_one_word(event: object, kind: tuple[str, str, str]) -> None:
    assert kind in kinds_of(event)


def test_fields_of_another_format_are_named_as_such() -> None:
    found = kinds_of({**CAMPAIGN, "type": "nonsense", "specversion": "1.0", "data": {}})
    assert set(found) == {
        ("campaign", "type", "unknown_value"),
        ("campaign", "other", "other_format"),
    }


def test_an_event_counts_once_for_each_of_the_first_three_wrong_fields() -> None:
    found = kinds_of({"event_id": "", "type": "nonsense", "occurred_at": "yesterday"})
    assert list(found.values()) == [1, 1, 1]


def test_no_sentence_is_without_a_reason_and_none_is_in_it() -> None:
    assert reason_of("Jane Doe is not welcome") == "other"
    assert reason_of("is required, Jane Doe") == "missing"
    assert set(REASON_OF.values()) == set(REASONS)
    assert named_field("identifiers.jane") == "identifiers"
    assert named_field("jane") == "other"
    assert {named_field(field) for field in NAMED_FIELDS} == set(NAMED_FIELDS)


@pytest.mark.parametrize(
    ("event", "form"),
    [
        (SubmittedEvent(occurred_at=1), "campaign"),
        (SubmittedEvent(ts=1), "activity"),
        (SubmittedEvent(timestamp=1), "identified"),
        (SubmittedEvent(occurred_at=1, ts=1), "other"),
        (SubmittedEvent(occurred_at=1, timestamp=1), "other"),
        (SubmittedEvent(ts=1, timestamp=1), "other"),
        (SubmittedEvent(), "other"),
        (ForeignEvent(readable=SubmittedEvent(ts=1), hints={}), "activity"),
        (UnreadableEvent(event_id="", readable=SubmittedEvent(timestamp=1), errors={}), "identified"),
        (RejectedEvent(event_id="", errors={}), "other"),
    ],
)
def test_the_form_is_told_by_the_one_time_field(event: ReadEvent, form: str) -> None:
    assert form_of(event) == form


def test_only_rejected_events_are_summed_up() -> None:
    good = SubmittedEvent(**CAMPAIGN)
    bad = SubmittedEvent(**{**CAMPAIGN, "type": "nonsense"})
    read = [good, bad, bad]
    judged = [check_event(each, "e", event_key("e"), POLICY, NOW_US, "") for each in read]
    assert rejections_of(read, judged) == Rejections(2, {RejectionKind("campaign", "type", "unknown_value"): 2})


def test_the_same_problem_in_other_words_is_one_kind() -> None:
    read = [SubmittedEvent(ts=1)] * 3
    judged = [RejectedEvent(event_id="", errors={"ts": [f"must be within {seconds} seconds"]}) for seconds in (1, 2, 2)]
    assert rejections_of(read, judged) == Rejections(3, {RejectionKind("activity", "ts", "far_from_now"): 3})


def test_parts_are_added_up_and_the_commonest_come_first() -> None:
    one, two, three = (RejectionKind("campaign", field, "missing") for field in ("source", "campaign_id", "type"))
    total = sum_of([Rejections(3, {one: 1, two: 2}), Rejections(4, {two: 1, three: 1}), NO_REJECTIONS])
    assert total == Rejections(7, {one: 1, two: 3, three: 1})
    assert total.commonest(2) == [(two, 3), (one, 1)]
    assert total.commonest(9) == [(two, 3), (one, 1), (three, 1)]  # of the same number by name
    assert sum_of([]) == NO_REJECTIONS
