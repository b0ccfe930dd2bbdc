"""Deltas: what applied batches add to the rollups and has not been folded into them yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_chassis.tracing import Noted
from dmp_stats.adapters.arrays import Int8Array, array_cursor, int8_array
from dmp_stats.domain.cells import Cells, campaign_rows, select_cells, unpack_cells

_MOST_CACHED: Final = 2_000

_PENDING: Final = b"""
SELECT seq, CASE WHEN seq = ANY(%(known)b) THEN NULL ELSE cells END FROM rollup_delta
UNION ALL
SELECT -number, CASE WHEN -number = ANY(%(known)b) THEN NULL ELSE cells END FROM fold
"""
_LAST_FOLD: Final = b"SELECT -number, CASE WHEN -number = ANY(%b) THEN NULL ELSE cells END FROM fold"
_TAKE: Final = b"""
DELETE FROM rollup_delta WHERE seq IN (SELECT seq FROM rollup_delta ORDER BY seq LIMIT %b)
RETURNING seq, CASE WHEN seq = ANY(%b) THEN NULL ELSE cells END
"""
_COUNT: Final = b"SELECT count(*) FROM (SELECT FROM rollup_delta LIMIT %s) AS counted"


class Delta:
    """One batch's cells, and the rows of each campaign among them. The rows are looked for when first asked for: most
    deltas are folded before anybody asks.
    """

    __slots__ = ("_rows", "cells")

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._rows: Mapping[str, slice] | None = None

    @property
    def rows(self) -> Mapping[str, slice]:
        """The rows of each campaign."""
        if self._rows is None:
            self._rows = campaign_rows(self.cells)
        return self._rows

    def of_campaign(self, campaign_id: str) -> Cells | None:
        """The cells of one campaign, None if it has none."""
        rows = self.rows.get(campaign_id)
        return None if rows is None else select_cells(self.cells, rows)

    def campaigns_between(self, first: int, last: int) -> set[str]:
        """The campaigns that have cells in the minutes from `first` to `last`, both included."""
        inside = (self.cells.minutes >= first) & (self.cells.minutes <= last)
        return {self.cells.texts[place] for place in np.unique(self.cells.campaigns[inside]).tolist()}


class FoldedMeanwhileError(Exception):
    """Stored rows include a fold that is later than the deltas that were read. Reading again helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What stored rows that are read later may lack."""

    deltas: Sequence[Delta]
    """What is not folded."""
    fold: int
    """The number of the last fold, 0 if there was none."""
    folded: Delta | None
    """What the last fold added; None if there was none."""

    def beyond(self, seen: int) -> Sequence[Delta]:
        """What to add to the stored rows of a campaign that include the fold `seen`, and no later one.

        Raises FoldedMeanwhileError.
        """
        if seen > self.fold:
            raise FoldedMeanwhileError
        if self.folded is None or seen == self.fold:
            return self.deltas
        return [*self.deltas, self.folded]


class DeltaCache:
    """Decoded rows of `rollup_delta`, by their number (`seq`), so that a read does not decode them again.

    What the last fold added is here, too, by its number below zero.

    A row never changes, so a cached one is right for as long as the table has it. A read asks which rows there are: it
    drops those from the cache that are gone and decodes those that are missing. So the cache may be small: what does
    not fit is only decoded again.
    """

    def __init__(self) -> None:
        self._deltas: dict[int, Delta] = {}
        self.traces = Noted()
        """Of the batches that were applied in this process since it last folded, those that are traced."""

    def __len__(self) -> int:
        """How many deltas are here, without the last fold."""
        return sum(seq > 0 for seq in self._deltas)

    def put(self, seq: int, cells: Cells) -> None:
        """Remembers a row that this process has written."""
        self.traces.note(seq)
        if len(self._deltas) < _MOST_CACHED:
            self._deltas[seq] = Delta(cells)

    def put_fold(self, number: int, cells: Cells) -> None:
        """Remembers the last fold, which this process has committed."""
        self.forget([seq for seq in self._deltas if seq < 0])
        self._deltas[-number] = Delta(cells)

    def known(self) -> dict[int, Delta]:
        """What is here now: the rows that need not be read."""
        return dict(self._deltas)

    def forget(self, seqs: Iterable[int]) -> None:
        """Drops rows that are no longer in the table."""
        for seq in seqs:
            self._deltas.pop(seq, None)

    def learn(self, rows: Iterable[tuple[int, bytes | None]], known: Mapping[int, Delta]) -> Pending:
        """All rows that the table lists, and the last fold: decoded if they come with their cells, else from `known`.

        What was known and is not listed has been folded, and is forgotten.
        """
        listed = {seq: known[seq] if data is None else Delta(unpack_cells(data)) for seq, data in rows}
        self.forget(known.keys() - listed.keys())
        for seq, delta in listed.items():
            if len(self._deltas) < _MOST_CACHED:
                self._deltas[seq] = delta
        fold = max(0, -min(listed, default=0))
        folded = listed.pop(-fold) if fold else None
        return Pending(deltas=list(listed.values()), fold=fold, folded=folded)


async def pending(connection: AsyncConnection, cache: DeltaCache) -> Pending:
    """Everything that is not folded yet, as this transaction sees it, and the last fold.

    To be read before the stored rows: what is folded in between shows in them by its number.
    """
    known = cache.known()
    return cache.learn(await _rows(connection, _PENDING, {"known": _seqs(known)}), known)


async def last_fold(connection: AsyncConnection, cache: DeltaCache) -> tuple[int, Delta] | None:
    """The number of the last fold and what it added; None if there was none."""
    known = {seq: delta for seq, delta in cache.known().items() if seq < 0}
    rows = await _rows(connection, _LAST_FOLD, (_seqs(known),))
    return next(((-seq, known[seq] if data is None else Delta(unpack_cells(data))) for seq, data in rows), None)


async def count_waiting(connection: AsyncConnection, *, most: int) -> int:
    """How many deltas are not folded yet, counted up to `most`."""
    cursor = await raw(connection).execute(_COUNT, (most,))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def forget_folded(connection: AsyncConnection, cache: DeltaCache) -> None:
    """Drops from the cache what the table no longer lists, whoever has folded it."""
    known = cache.known()
    if known:
        async with array_cursor(raw(connection)) as cursor:
            await cursor.execute(b"SELECT seq FROM rollup_delta")
            listed = {row[0] for row in await cursor.fetchall()}
        cache.forget(seq for seq in known if seq > 0 and seq not in listed)


async def take(connection: AsyncConnection, cache: DeltaCache, *, limit: int) -> list[Delta]:
    """Removes up to `limit` deltas, oldest first: the caller adds them to the rollups in the same transaction."""
    known = cache.known()
    rows = await _rows(connection, _TAKE, (limit, _seqs(known)))
    return [known[seq] if data is None else Delta(unpack_cells(data)) for seq, data in rows]


def _seqs(known: Mapping[int, Delta]) -> Int8Array:
    return int8_array(np.fromiter(known, np.int64, len(known)))


async def _rows(
    connection: AsyncConnection, query: bytes, parameters: tuple[Any, ...] | dict[str, Any]
) -> list[tuple[int, bytes | None]]:
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()
