"""Counting a batch, against counting by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_stats.api.convert import batch_from_proto
from dmp_stats.domain.cells import (
    Cells,
    campaign_rows,
    coarsen,
    count_batch,
    group_rows,
    merge_cells,
    pack_cells,
    select_cells,
    unpack_cells,
)
from tests.stats.service import COUNTS_AS, QUICK, Event, batch_of, event_key

Key = tuple[str, int, str, int, str, str]

events = st.lists(
    st.builds(
        Event,
        event_id=st.text("abcdef", min_size=1, max_size=8),
        at=st.one_of(st.integers(-200, 4000), st.integers(-62_000_000_000, 200_000_000_000)).map(float),
        type=st.sampled_from(["impression", "click", "view", "ad_click"]),
        campaign=st.sampled_from(["", "c1", "c2", "ü", "c10"]),
        source=st.sampled_from(["web", "app"]),
        creative=st.sampled_from(["", "cr1", "cr2"]),
    ),
    max_size=40,
)


def by_hand(counted: Sequence[Event], minutes: int = 1) -> tuple[Counter[Key], dict[Key, int]]:
    counts: Counter[Key] = Counter()
    digests: dict[Key, int] = {}
    for event in counted:
        if event.campaign:
            minute = int(event.at // 60) // minutes * minutes
            key = (event.campaign, minute, event.type, COUNTS_AS.get(event.type, 0), event.source, event.creative)
            counts[key] += 1
            digests[key] = digests.get(key, 0) ^ int.from_bytes(event_key(event.event_id), "big")
    return counts, digests


def as_dicts(cells: Cells | None) -> tuple[Counter[Key], dict[Key, int]]:
    counts: Counter[Key] = Counter()
    digests: dict[Key, int] = {}
    if cells is not None:
        for row in range(len(cells)):
            key = (
                cells.texts[int(cells.campaigns[row])],
                int(cells.minutes[row]),
                cells.texts[int(cells.types[row])],
                int(cells.counts_as[row]),
                cells.texts[int(cells.sources[row])],
                cells.texts[int(cells.creatives[row])],
            )
            assert key not in counts
            counts[key] = int(cells.counts[row])
            digests[key] = int(cells.digests[row, 0]) << 64 | int(cells.digests[row, 1])
    return counts, digests


@QUICK
@given(events)
def test_a_batch_is_counted_as_by_hand(batch: list[Event]) -> None:
    assert as_dicts(count_batch(batch_from_proto(batch_of(batch)))) == by_hand(batch)


@QUICK
@given(st.lists(events, min_size=1, max_size=4))
def test_merged_batches_are_counted_as_one(batches: list[list[Event]]) -> None:
    parts = [cells for batch in batches if (cells := count_batch(batch_from_proto(batch_of(batch)))) is not None]
    if parts:
        merged = merge_cells(parts)
        assert as_dicts(merged) == by_hand([event for batch in batches for event in batch])
        keys = [(merged.texts[c], m) for c, m in zip(merged.campaigns.tolist(), merged.minutes.tolist(), strict=True)]
        assert keys == sorted(keys)


@QUICK
@given(events)
def test_coarser_buckets_hold_the_same_events(batch: list[Event]) -> None:
    cells = count_batch(batch_from_proto(batch_of(batch)))
    if cells is not None:
        assert as_dicts(coarsen(cells, minutes=60, by_detail=True)) == by_hand(batch, minutes=60)
        totals = coarsen(cells, minutes=1440, by_detail=False)
        assert int(totals.counts.sum()) == sum(1 for event in batch if event.campaign)
        assert set(totals.sources.tolist()) == set(totals.creatives.tolist()) == {0}
        assert totals.campaigns.dtype == totals.sources.dtype == np.int64


@QUICK
@given(events)
def test_cells_survive_storing(batch: list[Event]) -> None:
    cells = count_batch(batch_from_proto(batch_of(batch)))
    if cells is not None:
        assert as_dicts(unpack_cells(pack_cells(cells))) == as_dicts(cells)


@QUICK
@given(events)
def test_each_campaign_lies_together(batch: list[Event]) -> None:
    cells = count_batch(batch_from_proto(batch_of(batch)))
    if cells is not None:
        rows = campaign_rows(cells)
        assert set(rows) == {event.campaign for event in batch if event.campaign}
        for campaign, place in rows.items():
            counts, _ = as_dicts(select_cells(cells, place))
            assert counts == by_hand([event for event in batch if event.campaign == campaign])[0]


def ints(*numbers: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


# Each case: columns of equal length; the rows in the order of their numbers, and where each group of equal rows begins.
GROUPS = {
    "one row": ([ints(5)], [0], [0]),
    "the first column counts first": ([ints(2, 1, 2), ints(0, 9, 0)], [1, 0, 2], [0, 1]),
    "equal rows keep their order": ([ints(1, 1, 1)], [0, 1, 2], [0]),
    "below zero": ([ints(-5, 3, -5), ints(1, 1, 0)], [2, 0, 1], [0, 1, 2]),
    "numbers too far apart for one key of both": (
        [ints(2**61, 0, 2**61, 0), ints(0, 2**61, 0, 2**60)],
        [3, 1, 0, 2],
        [0, 1, 2],
    ),
    "below and above zero": ([ints(10, -1)], [1, 0], [0, 1]),
    "three columns of which two fit together": (
        [ints(2**13, 0, 2**25), ints(0, 0, 2**25), ints(0, 0, 2**25)],
        [1, 0, 2],
        [0, 1, 2],
    ),
    "the second column is too wide": ([ints(1, 0, 1, 0), ints(2**62, 5, 0, 5)], [1, 3, 2, 0], [0, 2, 3]),
}


@pytest.mark.parametrize("case", GROUPS)
def test_equal_rows_are_put_together(case: str) -> None:
    columns, order, starts = GROUPS[case]
    found, begins = group_rows(columns)
    assert (found.tolist(), begins.tolist()) == (order, starts)


@pytest.mark.parametrize(
    ("lowest", "highest"),
    [
        *((0, highest) for highest in (255, 256, 65_535, 65_536, 2**31 - 1, 2**31)),
        *((lowest, 1) for lowest in (-1, -(2**31), -(2**31) - 1)),
    ],
)
def test_columns_of_any_width_survive_storing(lowest: int, highest: int) -> None:
    count = 100
    minutes = np.linspace(0, 1, count).astype(np.int64)
    minutes[0], minutes[-1] = lowest, highest
    nothing = np.zeros(count, np.int64)
    cells = Cells(
        texts=["", "c"],
        campaigns=nothing + 1,
        minutes=minutes,
        types=nothing,
        counts_as=nothing,
        sources=nothing,
        creatives=nothing,
        counts=nothing + 7,
        digests=np.zeros((count, 2), np.uint64),
    )
    again = unpack_cells(pack_cells(cells))
    assert again.minutes.dtype == np.int64
    assert again.minutes.tolist() == minutes.tolist()
    assert (set(again.campaigns.tolist()), set(again.counts.tolist())) == ({1}, {7})


@pytest.mark.parametrize(
    ("lowest", "highest", "entries", "bytes_each"),
    [
        (0, 255, 64, 1),
        (1, 255, 64, 1),
        (0, 255, 63, 8),
        (0, 256, 64, 2),
        (0, 65_535, 64, 2),
        (0, 65_536, 64, 4),
        (0, 2**31 - 1, 64, 4),
        (0, 2**31, 64, 8),
        (-1, 0, 64, 4),
        (-1, 2**31 - 1, 64, 4),
        (-1, 2**31, 64, 8),
        (-(2**31), 0, 64, 4),
        (-(2**31) - 1, 0, 64, 8),
    ],
)
def test_a_column_is_stored_in_the_narrowest_width_unless_it_is_short(
    lowest: int, highest: int, entries: int, bytes_each: int
) -> None:
    nothing = np.zeros(entries, np.int64)
    minutes = nothing.copy()
    minutes[0], minutes[1:] = lowest, highest
    cells = Cells(
        texts=[""],
        campaigns=nothing,
        minutes=minutes,
        types=nothing,
        counts_as=nothing,
        sources=nothing,
        creatives=nothing,
        counts=nothing,
        digests=np.zeros((entries, 2), np.uint64),
    )
    _, columns, _ = msgspec.msgpack.decode(pack_cells(cells))
    assert len(columns[1][1]) == entries * bytes_each
