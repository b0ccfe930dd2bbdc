"""The rollup's cells: how many events of one kind happened in one minute of one campaign, and a digest of which.

A cell is a row of parallel columns. So a batch of a thousand events is counted in a few array operations. Cells of
batches can be merged in any order and any grouping: the sums are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from dmp_stats.domain.minutes import minutes_of_events

Ints: TypeAlias = npt.NDArray[np.int64]
Digests: TypeAlias = npt.NDArray[np.uint64]

IMPRESSION: Final = 1
CLICK: Final = 2

_KEY_LIMIT: Final = 2**62
_RADIX_LIMIT: Final = 0xFFFF
"""Keys of 16 bits are sorted by their bytes, five times as fast as longer ones are compared."""
_TEXT_ROWS: Final = [0, 2, 4, 5]
"""Which rows of a key array are positions of texts: campaigns, types, sources and creatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A committed batch as columns with one entry for each event."""

    batch_id: str
    texts: Sequence[str]
    """The texts that the columns `types` to `users` name by position; the one at 0 is empty."""
    occurred_at_us: Ints
    """Microseconds since 1970 UTC."""
    types: Ints
    sources: Ints
    campaigns: Ints
    creatives: Ints
    users: Ints
    counts_as: Ints
    """0, IMPRESSION or CLICK."""
    event_keys: Digests
    """The 16-byte key of each event, as a row of two 64-bit words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Counted cells as columns with one entry for each cell, ordered by campaign position, then by minute."""

    texts: Sequence[str]
    """The texts that `campaigns`, `types`, `sources` and `creatives` name by position."""
    campaigns: Ints
    minutes: Ints
    """Whole minutes since 1970 UTC."""
    types: Ints
    counts_as: Ints
    sources: Ints
    creatives: Ints
    counts: Ints
    """How many events the cell has."""
    digests: Digests
    """The XOR of the keys of the cell's events, as a row of two 64-bit words. Equal sets of events have equal ones."""

    def __len__(self) -> int:
        return len(self.counts)


class _PackedCells(msgspec.Struct, array_like=True, frozen=True):
    """Cells as they are stored: columns as little-endian bytes in the narrowest width that holds them."""

    texts: list[str]
    columns: list[tuple[str, bytes]]
    digests: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_PackedCells)
_SHORT_COLUMN: Final = 64
"""A column with fewer entries than this is stored in full width: looking for a narrower one costs more."""

_WIDTHS: Final = ((0xFF, "<u1"), (0xFFFF, "<u2"), (0x7FFFFFFF, "<i4"))


def count_batch(batch: Batch) -> Cells | None:
    """Counts the events of a batch that name a campaign. Returns None if no event does."""
    keys = np.array(
        (
            batch.campaigns,
            minutes_of_events(batch.occurred_at_us),
            batch.types,
            batch.counts_as,
            batch.sources,
            batch.creatives,
        )
    )
    digests = batch.event_keys
    if len(digests) == 0 or not batch.campaigns.all():
        chosen = np.flatnonzero(batch.campaigns)
        if len(chosen) == 0:
            return None
        keys, digests = keys[:, chosen], digests[chosen]
    texts = _keep_used_texts(batch.texts, keys)
    return _fold(texts, keys, np.ones(len(digests), np.int64), digests)


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """The cells of all parts (at least one), added up.

    The texts of the result are sorted, so its cells are in the order of the campaigns' names, not only of positions.
    """
    texts = sorted({text for part in parts for text in part.texts})
    place = {text: position for position, text in enumerate(texts)}
    maps = [np.fromiter(map(place.__getitem__, part.texts), np.int64, len(part.texts)) for part in parts]

    def renumbered(name: str) -> Ints:
        return np.concatenate([places[getattr(part, name)] for places, part in zip(maps, parts, strict=True)])

    keys = np.array(
        (
            renumbered("campaigns"),
            np.concatenate([part.minutes for part in parts]),
            renumbered("types"),
            np.concatenate([part.counts_as for part in parts]),
            renumbered("sources"),
            renumbered("creatives"),
        )
    )
    counts = np.concatenate([part.counts for part in parts])
    return _fold(texts, keys, counts, np.concatenate([part.digests for part in parts]))


def coarsen(cells: Cells, *, minutes: int, by_detail: bool) -> Cells:
    """The same counts in longer buckets. A bucket has so many minutes and is named by its first one.

    by_detail: keep sources and creatives apart; else they are added up.
    """
    nothing = np.zeros(len(cells), np.int64)
    keys = np.array(
        (
            cells.campaigns,
            cells.minutes // minutes * minutes,
            cells.types,
            cells.counts_as,
            cells.sources if by_detail else nothing,
            cells.creatives if by_detail else nothing,
        )
    )
    return _fold(cells.texts, keys, cells.counts, cells.digests)


def select_cells(cells: Cells, rows: slice | npt.NDArray[np.bool_]) -> Cells:
    """The cells in these rows."""
    return Cells(
        texts=cells.texts,
        campaigns=cells.campaigns[rows],
        minutes=cells.minutes[rows],
        types=cells.types[rows],
        counts_as=cells.counts_as[rows],
        sources=cells.sources[rows],
        creatives=cells.creatives[rows],
        counts=cells.counts[rows],
        digests=cells.digests[rows],
    )


def campaign_rows(cells: Cells) -> dict[str, slice]:
    """The rows of each campaign, by its name. They lie together."""
    if len(cells) == 0:
        return {}
    starts = [0, *(np.flatnonzero(np.diff(cells.campaigns)) + 1).tolist(), len(cells)]
    texts = cells.texts
    return {
        texts[position]: slice(start, end)
        for position, start, end in zip(cells.campaigns[starts[:-1]].tolist(), starts, starts[1:], strict=False)
    }


def pack_cells(cells: Cells) -> bytes:
    """Cells as bytes, for storing."""
    columns = (
        cells.campaigns,
        cells.minutes,
        cells.types,
        cells.counts_as,
        cells.sources,
        cells.creatives,
        cells.counts,
    )
    return _ENCODER.encode(
        _PackedCells(list(cells.texts), [_narrow(column) for column in columns], cells.digests.astype("<u8").tobytes())
    )


def unpack_cells(data: bytes) -> Cells:
    """The inverse of `pack_cells`."""
    packed = _DECODER.decode(data)
    campaigns, minutes, types, counts_as, sources, creatives, counts = (
        np.frombuffer(raw, width).astype(np.int64) for width, raw in packed.columns
    )
    return Cells(
        texts=packed.texts,
        campaigns=campaigns,
        minutes=minutes,
        types=types,
        counts_as=counts_as,
        sources=sources,
        creatives=creatives,
        counts=counts,
        digests=np.frombuffer(packed.digests, "<u8").astype(np.uint64).reshape(-1, 2),
    )


def group_rows(columns: Ints | Sequence[Ints]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Groups rows (at least one) that are equal in all columns.

    Returns an order of the rows that puts equal ones together, sorted by number, the first column first; and the
    positions in that order where each group begins.
    """
    key = _combine(np.asarray(columns))
    if int(key.max()) <= _RADIX_LIMIT:
        key = key.astype(np.uint16)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    is_first = np.empty(len(ordered), bool)
    is_first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return order, np.flatnonzero(is_first)


def _combine(columns: Ints) -> Ints:
    """One number for each row. Sorting rows by it is sorting them by the columns, the first column first."""
    lowest = np.minimum.reduce(columns, axis=1)
    spans: list[int] = [high - low + 1 for high, low in zip(columns.max(axis=1).tolist(), lowest.tolist(), strict=True)]
    from_zero = columns - lowest[:, np.newaxis]
    key: Ints = from_zero[0]
    span = spans[0]
    for column, width in zip(from_zero[1:], spans[1:], strict=True):
        if span * width >= _KEY_LIMIT:
            key, span = _dense(key)
        if span * width >= _KEY_LIMIT:
            column, width = _dense(column)  # noqa: PLW2901 -- the same numbers, closer together
        key = key * width + column
        span *= width
    return key


def _dense(column: Ints) -> tuple[Ints, int]:
    values, inverse = np.unique(column, return_inverse=True)
    return inverse.astype(np.int64), len(values)


def _fold(texts: Sequence[str], keys: Ints, counts: Ints, digests: Digests) -> Cells:
    """Adds up cells with equal keys. keys: the columns campaigns, minutes, types, counts_as, sources and creatives."""
    if len(counts):
        order, starts = group_rows(keys)
        keys = keys[:, order[starts]]
        counts = np.add.reduceat(counts[order], starts)
        digests = np.bitwise_xor.reduceat(digests[order], starts, axis=0)
    campaigns, minutes, types, counts_as, sources, creatives = keys
    return Cells(
        texts=texts,
        campaigns=campaigns,
        minutes=minutes,
        types=types,
        counts_as=counts_as,
        sources=sources,
        creatives=creatives,
        counts=counts,
        digests=digests,
    )


def _keep_used_texts(texts: Sequence[str], keys: Ints) -> list[str]:
    """The texts that the keys use, the empty one first. Changes `keys`: its positions become positions among these."""
    positions = keys[_TEXT_ROWS]
    used = np.zeros(len(texts), bool)
    used[0] = True
    used[positions] = True
    keys[_TEXT_ROWS] = (used.cumsum() - 1)[positions]
    return [texts[position] for position in np.flatnonzero(used).tolist()]


def _narrow(column: Ints) -> tuple[str, bytes]:
    if len(column) < _SHORT_COLUMN:
        return "<i8", column.astype("<i8").tobytes()
    lowest: Any = column.min()
    highest: Any = column.max()
    width = next((width for limit, width in _WIDTHS if highest <= limit), "<i8")
    if lowest < 0:
        width = "<i4" if lowest >= -(2**31) and highest < 2**31 else "<i8"
    return width, column.astype(width).tobytes()
