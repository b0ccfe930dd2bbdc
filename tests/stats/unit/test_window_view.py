"""The window as one version of the reference table sees it: events by second and value."""

from __future__ import annotations

import numpy as np
import pytest

from dmp_stats.domain.reference import ReferenceSnapshot, pack_chunk, unpack_chunk
from dmp_stats.domain.user_index import UserIndex
from dmp_stats.domain.window_view import MOST_LISTED_VALUES, WindowView, listed_counts

RETENTION = 10


def view(table: dict[str, dict[str, str]], *names: str) -> tuple[WindowView, UserIndex]:
    users = UserIndex()
    snapshot = ReferenceSnapshot(generation=3)
    for _ in snapshot.add(unpack_chunk(pack_chunk(table)), users):
        pass
    users.numbers(["stranger"])
    snapshot.cover(len(users))
    return WindowView(snapshot, names, RETENTION), users


def rows(*seconds: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(seconds, np.int64)


def test_events_are_counted_by_second_value_and_whether_the_user_is_known() -> None:
    seen, users = view({"u": {"plan": "pro"}, "v": {"plan": "free"}, "w": {}}, "plan", "region")
    seen.add(rows(1, 1, 2, 13, 2), users.numbers(["u", "v", "u", "w", "stranger"]))
    plans = seen.listed["plan"]
    assert seen.membership(rows(1, 2)) == (1, 3)
    assert seen.membership(rows(3)) == (0, 1)
    counts = seen.counts("plan", rows(1, 2, 3))
    assert counts is not None
    assert {value: int(counts[place]) for value, place in plans.items()} == {"pro": 2, "free": 1}
    assert seen.listed["region"] == {}
    assert seen.counts("region", rows(1)) is None
    assert seen.names == {"plan", "region"}


def test_cleared_seconds_are_empty_and_others_stay() -> None:
    seen, users = view({"u": {"plan": "pro"}}, "plan")
    seen.add(rows(1, 2, 2), users.numbers(["u", "u", "stranger"]))
    seen.clear(rows(2))
    counts = seen.counts("plan", rows(1, 2))
    assert counts is not None
    assert (seen.membership(rows(1, 2)), counts.tolist()) == ((0, 1), [1])


@pytest.mark.parametrize("events", [1, 3, 1_000])
def test_many_events_at_once_count_as_one_by_one(events: int) -> None:
    seen, users = view({"u": {"plan": "pro"}}, "plan")
    seen.add(rows(*[4] * events), users.numbers(["u"] * events))
    seen.add(rows(4), users.numbers(["u"]))
    assert seen.membership(rows(4)) == (0, events + 1)
    assert seen.membership(rows(3, 5)) == (0, 0)


@pytest.mark.parametrize(("values", "has_ring"), [(4_096, True), (4_097, False)])
def test_an_attribute_with_very_many_values_has_no_ring(values: int, has_ring: bool) -> None:
    seen, _ = view({f"u{number}": {"plan": str(number)} for number in range(values)}, "plan")
    assert (seen.counts("plan", rows(1)) is not None) is has_ring
    assert len(seen.listed["plan"]) == values


def test_few_values_are_listed_in_their_order_with_those_without_events() -> None:
    assert list(listed_counts({"b": 0, "a": 1}, rows(5, 0)).items()) == [("a", 0), ("b", 5)]
    assert listed_counts({}, rows()) == {}


def test_of_too_many_values_those_with_most_events_are_listed_and_older_ones_among_equals() -> None:
    count = MOST_LISTED_VALUES
    exactly = {f"v{place:05}": place for place in range(count)}
    assert len(listed_counts(exactly, np.zeros(count, np.int64))) == count
    values = {f"v{count - place:05}": place for place in range(count + 2)}
    counts = np.zeros(count + 2, np.int64)
    counts[count + 1] = 7
    listed = listed_counts(values, counts)
    assert list(listed) == sorted(listed)
    assert len(listed) == count
    assert listed[f"v{-1:05}"] == 7
    assert f"v{0:05}" not in listed
    assert f"v{1:05}" not in listed
