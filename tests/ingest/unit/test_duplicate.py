"""What a duplicate is and what a conflict: given the log and a group of events, the verdict on each event."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.duplicate import (
    Verdict,
    content_of,
    first_of_each_key,
    judge,
    same_content,
    standing_fingerprint,
)
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.event_key import event_key
from tests.ingest.events import NOW_US, accepted, campaign

NEW, DUPLICATE, CONFLICT = Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.CONFLICT


def event(name: str, content: str = "c") -> AcceptableEvent:
    """An event of this id whose campaign is this content."""
    return accepted(campaign(event_id=name, campaign_id=content))


def verdicts(
    group: Sequence[tuple[str, str]], *, log: Sequence[tuple[str, str]] = (), equal: Sequence[tuple[str, str]] = ()
) -> list[Verdict]:
    """The verdicts on a group. Each event is an id and its content; `equal` are those that a full comparison found
    equal to the standing one."""
    events = [event(*each) for each in group]
    stored = {event_key(name): event(name, content).fingerprint for name, content in log}
    same = frozenset((event_key(name), event(name, content).fingerprint) for name, content in equal)
    return judge(events, first_of_each_key(events), stored, same)


@pytest.mark.parametrize(
    ("log", "group", "expected"),
    [
        pytest.param([], [], [], id="no event"),
        pytest.param([], [("a", "1")], [NEW], id="an id that the log does not have"),
        pytest.param([], [("a", "1"), ("b", "1")], [NEW, NEW], id="equal content under two ids is two events"),
        pytest.param([("a", "1")], [("a", "1")], [DUPLICATE], id="stored before with the same content"),
        pytest.param([("a", "1")], [("a", "2")], [CONFLICT], id="stored before with other content"),
        pytest.param([], [("a", "1"), ("a", "1")], [NEW, DUPLICATE], id="twice in one group"),
        pytest.param([], [("a", "1"), ("a", "2")], [NEW, CONFLICT], id="the first content of a group stands"),
        pytest.param(
            [], [("a", "2"), ("a", "1"), ("a", "2")], [NEW, CONFLICT, DUPLICATE], id="each is compared with the first"
        ),
        pytest.param(
            [("a", "1")],
            [("a", "2"), ("a", "2"), ("a", "1")],
            [CONFLICT, CONFLICT, DUPLICATE],
            id="the content in the log stands, not the first of the group",
        ),
        pytest.param(
            [("b", "1")], [("a", "1"), ("b", "1"), ("c", "1")], [NEW, DUPLICATE, NEW], id="answers keep their order"
        ),
    ],
)
def test_the_verdict_on_each_event(
    log: list[tuple[str, str]], group: list[tuple[str, str]], expected: list[Verdict]
) -> None:
    assert verdicts(group, log=log) == expected


def test_an_event_that_was_compared_in_full_and_found_equal_is_a_duplicate() -> None:
    group = [("a", "2"), ("a", "3"), ("b", "2")]
    log = [("a", "1"), ("b", "1")]
    assert verdicts(group, log=log, equal=[("a", "2")]) == [DUPLICATE, CONFLICT, CONFLICT]
    assert verdicts([("a", "1"), ("a", "2")], equal=[("a", "2")]) == [NEW, DUPLICATE]


NAMES = st.sampled_from("abc")
EVENTS = st.lists(st.tuples(NAMES, st.sampled_from("12")), max_size=8)


@given(log=st.dictionaries(NAMES, st.sampled_from("12")), group=EVENTS)
def test_verdicts_are_those_of_a_dictionary_that_keeps_the_first_content(
    log: dict[str, str], group: list[tuple[str, str]]
) -> None:
    standing = dict(log)
    expected = []
    for name, content in group:
        expected.append(NEW if name not in standing else DUPLICATE if standing[name] == content else CONFLICT)
        standing.setdefault(name, content)
    assert verdicts(group, log=list(log.items())) == expected


def test_the_first_event_of_each_key_in_order() -> None:
    b, a, again, other = event("b"), event("a"), event("b", "x"), event("c")
    assert list(first_of_each_key([b, a, again, other]).values()) == [b, a, other]
    assert list(first_of_each_key([b, a])) == [b.key, a.key]


def test_the_event_that_stands_is_that_of_the_log_else_the_first_of_the_group() -> None:
    first, again = event("a", "1"), event("a", "2")
    firsts = {first.key: first}
    assert standing_fingerprint(again, firsts, {}) == first.fingerprint
    assert standing_fingerprint(again, firsts, {first.key: 7}) == 7
    assert standing_fingerprint(again, firsts, {first.key: 0}) == 0


FULL = {
    "creative_id": "k",
    "user_id": "u",
    "identifiers": {"email": "a@b.com", "phone": "1"},
    "metadata": msgspec.Raw(b'{"a":1,"b":2}'),
}


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({}, True),
        ({"event_id": "another"}, True),
        ({"identifiers": {"phone": "1", "email": "a@b.com"}}, True),
        ({"metadata": msgspec.Raw(b'{ "b": 2.0, "a": 1 }')}, True),
        ({"metadata": msgspec.Raw(b'{"a":1,"b":3}')}, False),
        ({"metadata": msgspec.Raw(b"")}, False),
        ({"type": "view"}, False),
        ({"source": "app"}, False),
        ({"campaign_id": "d"}, False),
        ({"creative_id": ""}, False),
        ({"user_id": "v"}, False),
        ({"user_id": None, "identifiers": {"user_id": "u", "email": "a@b.com", "phone": "1"}}, False),
        ({"occurred_at": NOW_US + 1}, False),
        ({"identifiers": {"email": "a@b.com"}}, False),
    ],
)
def test_two_events_are_the_same_if_all_but_their_id_says_the_same(changed: dict[str, object], is_same: bool) -> None:
    one, other = accepted(campaign(**FULL)), accepted(campaign(**{**FULL, **changed}))
    assert same_content(content_of(one), content_of(other)) is is_same
