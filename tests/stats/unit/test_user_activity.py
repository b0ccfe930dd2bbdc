"""What a batch adds to the sliding window: which users had events in which seconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_stats.domain.cells import Batch
from dmp_stats.domain.user_activity import (
    UserActivity,
    activity_of,
    merge_activity,
    pack_activity,
    unpack_activity,
)

EVENTS = st.lists(st.tuples(st.integers(-3, 50), st.sampled_from(["", "u", "v", "ü"])), max_size=12)


def batch(events: list[tuple[int, str]], *, micros: int = 0) -> Batch:
    """A batch of events, each a second and a user; empty text for none."""
    texts = ["", "never", *sorted({user for _, user in events if user})]
    nothing = np.zeros(len(events), np.int64)
    return Batch(
        batch_id="b",
        texts=texts,
        occurred_at_us=np.array([second * 1_000_000 + micros for second, _ in events], np.int64),
        types=nothing,
        sources=nothing,
        campaigns=nothing,
        creatives=nothing,
        users=np.array([texts.index(user) for _, user in events], np.int64),
        counts_as=nothing,
        event_keys=np.zeros((len(events), 2), np.uint64),
    )


def listed(activity: UserActivity | None) -> list[tuple[int, str]]:
    if activity is None:
        return []
    users = [activity.user_ids[number] for number in activity.users.tolist()]
    return list(zip(activity.seconds.tolist(), users, strict=True))


@pytest.mark.parametrize(
    ("events", "after", "kept"),
    [
        pytest.param([], 0, [], id="no event"),
        pytest.param([(5, "u")], 4, [(5, "u")], id="later than the second"),
        pytest.param([(5, "u")], 5, [], id="in the second"),
        pytest.param([(5, "")], 0, [], id="an event without a user"),
        pytest.param([(5, "u"), (6, ""), (7, "v"), (5, "u")], 0, [(5, "u"), (7, "v"), (5, "u")], id="several"),
        pytest.param([(-5, "u")], -6, [(-5, "u")], id="before 1970"),
    ],
)
def test_the_activity_in_a_batch(events: list[tuple[int, str]], after: int, kept: list[tuple[int, str]]) -> None:
    activity = activity_of(batch(events), after_second=after)
    assert listed(activity) == kept
    assert (activity is None) == (not kept)


@pytest.mark.parametrize(("micros", "second"), [(0, 7), (999_999, 7), (-1, 6)])
def test_seconds_are_floored(micros: int, second: int) -> None:
    assert listed(activity_of(batch([(7, "u")], micros=micros), after_second=0)) == [(second, "u")]


def test_only_users_with_activity_are_listed() -> None:
    activity = activity_of(batch([(1, "u"), (9, "v")]), after_second=5)
    assert activity is not None
    assert list(activity.user_ids) == ["v"]
    assert activity.users.tolist() == [0]


@given(EVENTS)
def test_activity_is_the_same_after_it_was_stored(events: list[tuple[int, str]]) -> None:
    activity = activity_of(batch(events), after_second=-10)
    if activity is not None:
        again = unpack_activity(pack_activity(activity))
        assert listed(again) == listed(activity)
        assert (again.first_second, again.last_second) == (activity.first_second, activity.last_second)
        assert (activity.first_second, activity.last_second) == (min(listed(activity))[0], max(listed(activity))[0])


@given(st.lists(EVENTS, max_size=4))
def test_merged_activity_is_that_of_all_parts_in_order(parts: list[list[tuple[int, str]]]) -> None:
    activities = [a for events in parts if (a := activity_of(batch(events), after_second=-10)) is not None]
    if activities:
        merged = merge_activity(activities)
        assert listed(merged) == [each for activity in activities for each in listed(activity)]
        assert len(merged.user_ids) == sum(len(activity.user_ids) for activity in activities)
    if len(activities) == 1:
        assert merge_activity(activities) is activities[0]
