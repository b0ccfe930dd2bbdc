"""The last rejected events by kind, from announcements that may come twice, late, or from another version of ingest."""

from __future__ import annotations

from typing import Any

import pytest

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_ingest.domain import rejections as of_ingest
from dmp_stats.domain.rejections import MOST_SHOWN, OTHER, REASONS, LastRejection, LastRejections, RejectionKind

MINUTE = 1_790_000_040.0
TYPE = RejectionKind("campaign", "type", "unknown_value")
SOURCE = RejectionKind("identified", "source", "missing")


def announced(*kinds: tuple[RejectionKind, Any]) -> list[dict[str, Any]]:
    """The kinds of an announcement as ingest writes them."""
    return [{**kind._asdict(), "count": count} for kind, count in kinds]


def after(*announcements: tuple[float, object]) -> list[LastRejection]:
    last = LastRejections()
    for number, (at, kinds) in enumerate(announcements):
        last.take_in(str(number), at, kinds)
    return last.newest()


def test_what_was_seen_last_comes_first() -> None:
    found = after((MINUTE, announced((TYPE, 3))), (MINUTE + 5, announced((SOURCE, 1))))
    assert found == [LastRejection(SOURCE, MINUTE + 5, 1), LastRejection(TYPE, MINUTE, 3)]


@pytest.mark.parametrize(
    ("second", "shown"),
    [
        (MINUTE + 59, LastRejection(TYPE, MINUTE + 59, 5)),  # the same minute: together
        (MINUTE + 60, LastRejection(TYPE, MINUTE + 60, 2)),  # the next minute: it counts anew
        (MINUTE - 1, LastRejection(TYPE, MINUTE, 3)),  # a minute before, late: nothing new
    ],
)
def test_a_kind_shows_its_last_minute(second: float, shown: LastRejection) -> None:
    assert after((MINUTE, announced((TYPE, 3))), (second, announced((TYPE, 2)))) == [shown]


def test_a_late_one_of_the_same_minute_is_added() -> None:
    assert after((MINUTE + 9, announced((TYPE, 3))), (MINUTE + 1, announced((TYPE, 2)))) == [
        LastRejection(TYPE, MINUTE + 9, 5)
    ]


def test_an_announcement_that_comes_twice_counts_once() -> None:
    last = LastRejections()
    for _ in range(2):
        last.take_in("one", MINUTE, announced((TYPE, 3)))
    assert last.newest() == [LastRejection(TYPE, MINUTE, 3)]


@pytest.mark.parametrize(
    "kinds", [None, 5, "text", {}, [], [5], [{}], announced((TYPE, 0)), announced((TYPE, "3")), announced((TYPE, -1))]
)
def test_what_is_no_list_of_kinds_is_passed_over(kinds: object) -> None:
    assert after((MINUTE, kinds)) == []


@pytest.mark.parametrize("value", [None, 5, "", "Jane Doe", "j" * 33, "UPPER", "a-b"])
def test_a_name_that_is_none_is_not_shown(value: object) -> None:
    kinds = [{"form": value, "field": value, "reason": value, "count": 1}]
    assert after((MINUTE, kinds)) == [LastRejection(RejectionKind(OTHER, OTHER, OTHER), MINUTE, 1)]


def test_a_field_of_a_newer_ingest_is_shown_and_a_newer_reason_is_other() -> None:
    kinds = [{"form": "campaign", "field": "currency", "reason": "too_odd", "count": 1}]
    assert after((MINUTE, kinds))[0].kind == RejectionKind("campaign", "currency", OTHER)


def test_few_are_shown_and_memory_is_bounded() -> None:
    last = LastRejections()
    names = [f"{a}{b}{c}" for a in "abcdefghijk" for b in "abcdefghij" for c in "abcdefghij"]
    for number, name in enumerate(names):
        last.take_in(str(number), MINUTE + number, announced((RejectionKind("campaign", name, "missing"), 1)))
    assert [each.kind.field for each in last.newest()] == names[: -MOST_SHOWN - 1 : -1]
    assert len(last._last) == 1_000
    assert len(last._seen) == 1_000
    last.take_in("0", MINUTE + 5_000, announced((TYPE, 1)))  # forgotten, so it is taken for a new one
    assert last.newest()[0].kind == TYPE


def test_counts_stay_within_the_answer() -> None:
    assert after((MINUTE, announced((TYPE, 2**40))))[0].events == 2**31 - 1


def test_ingest_stats_and_the_answer_know_the_same_reasons() -> None:
    assert set(REASONS) == set(of_ingest.REASONS)
    names = {f"REJECTION_REASON_{reason.upper()}" for reason in REASONS}
    assert names | {"REJECTION_REASON_UNSPECIFIED"} == set(pb.RejectionReason.keys())
