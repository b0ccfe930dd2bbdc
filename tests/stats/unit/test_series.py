"""Adding up: sparse, bounded, equal to a plain count."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.violations import InvalidArgument
from dmp_stats.domain.buckets import Buckets
from dmp_stats.domain.cells import CLICK, IMPRESSION, Cells
from dmp_stats.domain.series import MOST_POINTS, Counted, add_up, counted_of_cells, size_of
from dmp_stats.domain.stats_query import check_stats_query
from tests.stats.service import QUICK


def counted(rows: list[tuple[int, int, int, str]]) -> Counted:
    """Rows of minute, what they count as, count and group."""
    groups = list(dict.fromkeys(row[3] for row in rows)) or [""]
    return Counted(
        minutes=np.array([row[0] for row in rows], np.int64),
        counts_as=np.array([row[1] for row in rows], np.int64),
        counts=np.array([row[2] for row in rows], np.int64),
        groups=groups,
        group_of=np.array([groups.index(row[3]) for row in rows], np.int64),
    )


ROWS = st.lists(st.tuples(st.integers(-3, 40), st.integers(0, 2), st.integers(1, 9), st.sampled_from("abcd")))


@given(parts=st.lists(ROWS, max_size=4), fill_zero=st.booleans())
@QUICK
def test_a_series_is_a_plain_count(parts: list[list[tuple[int, int, int, str]]], fill_zero: bool) -> None:
    buckets = Buckets(starts=np.arange(0, 30, 10, dtype=np.int64), end=30)
    inside = [row for rows in parts for row in rows if 0 <= row[0] < 30]
    events: Counter[tuple[int, str]] = Counter()
    clicks: Counter[tuple[int, str]] = Counter()
    for minute, counts_as, count, group in inside:
        events[minute // 10 * 10, group] += count
        clicks[minute // 10 * 10, group] += count * (counts_as == 2)
    groups = sorted({row[3] for row in inside}) or [""]
    wanted = [(start, group) for start in (0, 10, 20) for group in groups if fill_zero or events[start, group]]
    series = add_up([counted(rows) for rows in parts], buckets, fill_zero=fill_zero)
    points = [
        (start, series.groups[place]) for start, place in zip(series.starts, series.group_of.tolist(), strict=True)
    ]
    assert points == wanted
    assert series.events.tolist() == [events[point] for point in wanted]
    assert series.clicks.tolist() == [clicks[point] for point in wanted]


@pytest.mark.parametrize("groups", [1_000, 10_000])
def test_minutes_of_a_year_in_many_groups_cost_what_there_is(groups: int) -> None:
    buckets = Buckets(starts=np.arange(527_040, dtype=np.int64), end=527_040)
    part = counted([(number * 50 % 527_040, 1, 1, f"cr-{number}") for number in range(groups)])
    tracemalloc.start()
    try:
        series = add_up([part], buckets, fill_zero=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(series.starts) == groups
    assert most < 32 * 1024 * 1024


def ten_minutes(buckets: int) -> Buckets:
    return Buckets(starts=np.arange(0, 10 * buckets, 10, dtype=np.int64), end=10 * buckets)


# Each case: rows of minute, what they count as, count and group; fill_zero; points of start, group, impressions,
# clicks and events.
SERIES: dict[str, tuple[list[tuple[int, int, int, str]], bool, list[tuple[int, str, int, int, int]]]] = {
    "nothing": ([], False, []),
    "nothing, filled": ([], True, [(0, "", 0, 0, 0), (10, "", 0, 0, 0)]),
    "impressions, clicks and others": (
        [(0, IMPRESSION, 3, "a"), (9, CLICK, 2, "a"), (5, 0, 1, "a")],
        False,
        [(0, "a", 3, 2, 6)],
    ),
    "by time, then by name of the group": (
        [(10, IMPRESSION, 1, "a"), (0, IMPRESSION, 1, "b"), (0, CLICK, 1, "a")],
        False,
        [(0, "a", 0, 1, 1), (0, "b", 1, 0, 1), (10, "a", 1, 0, 1)],
    ),
    "filled: each bucket for each group that has events": (
        [(0, CLICK, 1, "a"), (10, IMPRESSION, 2, "b")],
        True,
        [(0, "a", 0, 1, 1), (0, "b", 0, 0, 0), (10, "a", 0, 0, 0), (10, "b", 2, 0, 2)],
    ),
    "what lies in no bucket is not counted, and its group is none": (
        [(0, CLICK, 1, "a"), (20, CLICK, 1, "b"), (-1, CLICK, 1, "b")],
        True,
        [(0, "a", 0, 1, 1), (10, "a", 0, 0, 0)],
    ),
    "events that a repair has taken away are not shown": (
        [(0, CLICK, 2, "a"), (0, CLICK, -2, "a"), (10, CLICK, 1, "a")],
        False,
        [(10, "a", 0, 1, 1)],
    ),
}


@pytest.mark.parametrize("case", SERIES)
def test_points_are_sums_by_bucket_and_group(case: str) -> None:
    rows, fill_zero, expected = SERIES[case]
    series = add_up([counted(rows)], ten_minutes(2), fill_zero=fill_zero)
    columns = (series.impressions, series.clicks, series.events)
    groups = [series.groups[place] for place in series.group_of.tolist()]
    assert list(zip(series.starts.tolist(), groups, *(one.tolist() for one in columns), strict=True)) == expected
    assert {one.dtype for one in (series.starts, series.group_of, *columns)} == {np.dtype(np.int64)}


def cells(rows: list[tuple[int, str, int, str, str, int]]) -> Cells:
    """Cells of minute, type, what it counts as, source, creative and count."""
    texts = ["", *sorted({text for row in rows for text in (row[1], row[3], row[4])})]
    place = {text: position for position, text in enumerate(texts)}
    return Cells(
        texts=texts,
        campaigns=np.zeros(len(rows), np.int64),
        minutes=np.array([row[0] for row in rows], np.int64),
        types=np.array([place[row[1]] for row in rows], np.int64),
        counts_as=np.array([row[2] for row in rows], np.int64),
        sources=np.array([place[row[3]] for row in rows], np.int64),
        creatives=np.array([place[row[4]] for row in rows], np.int64),
        counts=np.array([row[5] for row in rows], np.int64),
        digests=np.zeros((len(rows), 2), np.uint64),
    )


CLICKED, SEEN, VIEWED = (
    (1, "click", CLICK, "web", "cr1", 5),
    (2, "impression", IMPRESSION, "app", "cr1", 6),
    (3, "view", 0, "web", "", 7),
)
# Each case: parameters of the question; and what is left: minute, what it counts as, count and group.
FILTERS: dict[str, tuple[dict[str, Any], list[tuple[int, int, int, str]]]] = {
    "all": ({}, [(1, CLICK, 5, ""), (2, IMPRESSION, 6, ""), (3, 0, 7, "")]),
    "one type": ({"types": ["view"]}, [(3, 0, 7, "")]),
    "one of two types": ({"types": ["view", "click"]}, [(1, CLICK, 5, ""), (3, 0, 7, "")]),
    "a source": ({"sources": ["web"]}, [(1, CLICK, 5, ""), (3, 0, 7, "")]),
    "a creative": ({"creative_ids": ["cr1"]}, [(1, CLICK, 5, ""), (2, IMPRESSION, 6, "")]),
    "no creative": ({"creative_ids": [""]}, [(3, 0, 7, "")]),
    "every filter must let it through": ({"sources": ["web"], "creative_ids": ["cr1"]}, [(1, CLICK, 5, "")]),
    "nothing matches": ({"sources": ["radio"]}, []),
    "split by type": (
        {"group_by": "type"},
        [(1, CLICK, 5, "click"), (2, IMPRESSION, 6, "impression"), (3, 0, 7, "view")],
    ),
    "split by source": ({"group_by": "source"}, [(1, CLICK, 5, "web"), (2, IMPRESSION, 6, "app"), (3, 0, 7, "web")]),
    "split by creative": (
        {"group_by": "creative_id"},
        [(1, CLICK, 5, "cr1"), (2, IMPRESSION, 6, "cr1"), (3, 0, 7, "")],
    ),
    "split, and filtered by something else": ({"group_by": "source", "types": ["view"]}, [(3, 0, 7, "web")]),
}


@pytest.mark.parametrize("case", FILTERS)
def test_filters_choose_cells_and_a_split_names_their_groups(case: str) -> None:
    parameters, expected = FILTERS[case]
    query = check_stats_query(campaign_id="c", start="2026-02-10T00:00:00Z", end="2026-02-10T00:00:00Z", **parameters)
    kept = counted_of_cells(cells([CLICKED, SEEN, VIEWED]), query)
    groups = [kept.groups[place] for place in kept.group_of.tolist()]
    columns = (kept.minutes.tolist(), kept.counts_as.tolist(), kept.counts.tolist())
    assert list(zip(*columns, groups, strict=True)) == expected


def test_the_size_of_a_series_is_that_of_its_columns_and_names() -> None:
    one, two = (add_up([counted([(0, 1, 1, group)])], ten_minutes(1), fill_zero=False) for group in ("a", "a" * 101))
    assert size_of(two) - size_of(one) == 100
    assert size_of(one) == 5 * 8 + sys.getsizeof("a")


TOO_MANY = (
    "is needed: an answer has at most 200,000 points and 32 MiB, this one would have more; ask for fewer buckets at "
    "once with page_size, for a coarser granularity, or filter"
)


# An answer of so many buckets of events, or of so many buckets and groups filled with zeros.
@pytest.mark.parametrize(
    ("buckets", "groups", "fill_zero", "fits"),
    [
        (MOST_POINTS, 1, False, True),
        (MOST_POINTS + 1, 1, False, False),
        (MOST_POINTS, 1, True, True),
        (MOST_POINTS + 1, 1, True, False),
        (MOST_POINTS // 2, 2, True, True),
        (MOST_POINTS // 2 + 1, 2, True, False),
    ],
)
def test_an_answer_has_at_most_so_many_points(buckets: int, groups: int, fill_zero: bool, fits: bool) -> None:
    rows = [(minute, 1, 1, "a") for minute in range(1 if fill_zero else buckets)]
    rows += [(0, 1, 1, str(group)) for group in range(1, groups)]
    range_of_minutes = Buckets(starts=np.arange(buckets, dtype=np.int64), end=buckets)
    if fits:
        assert len(add_up([counted(rows)], range_of_minutes, fill_zero=fill_zero).starts) == buckets * groups
        return
    with pytest.raises(InvalidArgument) as raised:
        add_up([counted(rows)], range_of_minutes, fill_zero=fill_zero)
    assert [(one.field, one.description) for one in raised.value.violations] == [("page_size", TOO_MANY)]


# A point takes 100 bytes and the name of its group as JSON, where a quotation mark takes two bytes: 2**25 in all.
@pytest.mark.parametrize(
    ("name", "points", "fits"),
    [("x" * 922, 2**15, True), ("x" * 923, 2**15, False), ('"' * 461, 2**15, True), ('"' * 462, 2**15, False)],
)
def test_an_answer_has_at_most_so_many_bytes(name: str, points: int, fits: bool) -> None:
    buckets = Buckets(starts=np.arange(points, dtype=np.int64), end=points)
    part = [counted([(0, 1, 1, name)])]
    if fits:
        assert len(add_up(part, buckets, fill_zero=True).starts) == points
        return
    with pytest.raises(InvalidArgument) as raised:
        add_up(part, buckets, fill_zero=True)
    assert [one.field for one in raised.value.violations] == ["page_size"]
