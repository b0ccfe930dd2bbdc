"""Adding up: sparse, bounded, equal to a plain count."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.violations import InvalidArgument
from dmp_stats.domain.buckets import Buckets
from dmp_stats.domain.series import MOST_POINTS, Counted, add_up
from dmp_stats.domain.stats_query import check_zone, zone_names
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


@pytest.mark.parametrize(
    ("minutes", "groups", "fill_zero"),
    [(MOST_POINTS + 1, 1, True), (MOST_POINTS // 3 + 1, 3, True), (MOST_POINTS + 1, 1, False), (40_000, 2, True)],
)
def test_an_answer_has_a_bound(minutes: int, groups: int, fill_zero: bool) -> None:
    buckets = Buckets(starts=np.arange(minutes, dtype=np.int64), end=minutes)
    rows = [(minute, 1, 1, "a") for minute in (range(minutes) if not fill_zero else range(1))]
    rows += [(0, 1, 1, f"{group}" * (250 if minutes == 40_000 else 1)) for group in range(1, groups)]
    if minutes == 40_000:
        rows[0] = (0, 1, 1, '"' * 250)
    with pytest.raises(InvalidArgument) as raised:
        add_up([counted(rows)], buckets, fill_zero=fill_zero)
    assert [violation.field for violation in raised.value.violations] == ["page_size"]
    assert "page_size" in raised.value.violations[0].description


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Etc/GMT+12", "America/Argentina/Ushuaia"])
def test_zones_of_the_iana_database_are_zones(name: str) -> None:
    problems: list[str] = []
    assert check_zone(name, lambda field, _: problems.append(field)) == ZoneInfo(name)
    assert not problems


@pytest.mark.parametrize(
    "name",
    [
        *[
            "localtime",
            "posix/Europe/Berlin",
            "right/Europe/Berlin",
            "Factory",
            "posixrules",
            "../UTC",
            "/etc/localtime",
            "Europe",
        ],
        *["Europe/", "europe/berlin", "tzdata.zi", "zone.tab", "./UTC", "Europe/../UTC"],
        "UTC\0",
        "x" * 10_000,
    ],
)
def test_what_is_no_name_of_the_iana_database_is_no_zone(name: str) -> None:
    problems: list[str] = []
    assert check_zone(name, lambda field, _: problems.append(field)) is None
    assert problems == ["tz"]


def test_every_zone_can_be_used() -> None:
    noon = datetime(2026, 2, 10, 12, tzinfo=UTC)
    assert len(zone_names()) > 400
    for name in zone_names():
        assert abs(noon.astimezone(ZoneInfo(name)).utcoffset() or timedelta()) < timedelta(hours=15)
