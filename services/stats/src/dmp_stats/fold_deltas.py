"""Folds what batches add into the rollups.

Writers of batches never touch a rollup row, so they never wait for each other, however hot a campaign is. One process
at a time takes what has gathered and adds it up first: a cell that a hundred batches have touched is written once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database, after_commit
from dmp_chassis.metrics import Metrics
from dmp_chassis.tracing import followed_span
from dmp_stats.adapters import cell_store, delta_store, fold_store, rollup_store
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.domain.cells import campaign_rows, merge_cells, pack_cells
from dmp_stats.metrics import FOLD, FOLDED

_LOG: Final = logging.getLogger(__name__)
_DELTAS_AT_ONCE: Final = 256


async def fold_deltas(database: Database, deltas: DeltaCache, *, limit: int = _DELTAS_AT_ONCE) -> int:
    """Adds up to `limit` deltas to the rollups and deletes them, in one transaction. Returns how many.

    It does nothing and returns 0 if another process is folding, or if the last fold does not show everywhere yet. A
    reader sees either a delta or what it added to the rollups, never both and never neither.
    """
    async with database.begin() as connection:
        if not await cell_store.try_lock_rollups(connection) or not await last_fold_shows(connection, deltas):
            await delta_store.forget_folded(connection, deltas)
            return 0
        taken = await fold_within(connection, deltas, limit=limit)
        await delta_store.forget_folded(connection, deltas)
    return taken


async def last_fold_shows(connection: AsyncConnection, deltas: DeltaCache) -> bool:
    """Whether every row of the rollups includes the last fold, as always in one database. Where they are distributed, a
    node that went away in the middle of the commit shows it when it is back.
    """
    last = await delta_store.last_fold(connection, deltas)
    return last is None or await fold_store.shows_everywhere(connection, last[0], last[1].rows)


async def fold_within(connection: AsyncConnection, deltas: DeltaCache, *, limit: int) -> int:
    """Folds up to `limit` deltas in this transaction, which has the lock and has seen that the last fold shows
    everywhere. Returns how many."""
    taken = await delta_store.take(connection, deltas, limit=limit)
    if taken:
        cells = await asyncio.to_thread(merge_cells, [delta.cells for delta in taken])
        await rollup_store.add(connection, cells)
        number = await fold_store.note_fold(connection, pack_cells(cells), campaign_rows(cells))
        after_commit(connection, partial(deltas.put_fold, number, cells))
    return len(taken)


async def fold_for_ever(database: Database, deltas: DeltaCache, *, interval_seconds: float, metrics: Metrics) -> None:
    """Folds at the interval until cancelled. While the database is away it only tries."""
    failures = 0
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            while await _measured_fold(database, deltas, metrics) == _DELTAS_AT_ONCE:
                pass
            failures = 0
        except Exception as error:  # noqa: BLE001 -- whatever it was, the deltas are kept and the next round tries again
            failures += 1
            if failures == 1:
                _LOG.warning("deltas wait to be folded", extra={"error": f"{type(error).__name__}: {error}"})


async def _measured_fold(database: Database, deltas: DeltaCache, metrics: Metrics) -> int:
    begun, folded = time.monotonic(), None
    try:
        with followed_span("fold", deltas.traces.take_all()) as span:
            folded = await fold_deltas(database, deltas)
            if span is not None:
                span.set_attribute("dmp.batches", folded)
        return folded
    finally:
        if folded:
            metrics.add(FOLDED, folded)
        if folded != 0:
            metrics.observe(FOLD, time.monotonic() - begun, "folded" if folded else "failed")
