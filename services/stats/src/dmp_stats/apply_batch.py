"""Counts a committed batch, exactly once."""

from __future__ import annotations

from dmp_stats.adapters.batch_writer import BatchWriter
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.domain.cells import Batch, count_batch, pack_cells
from dmp_stats.domain.user_activity import activity_of, pack_activity
from dmp_stats.live_window import LiveWindow


async def apply_batch(
    batch: Batch, batches: BatchWriter, deltas: DeltaCache, window: LiveWindow, *, now: float
) -> bool:
    """Adds a batch to the rollups and to the window, and notes its id in the inbox, in one transaction.

    Returns False, and changes nothing, if the batch was applied before. now: seconds since 1970 UTC.
    """
    cells = count_batch(batch)
    activity = activity_of(batch, after_second=int(now) - window.retention_seconds)
    applied = await batches.write(
        batch_id=batch.batch_id,
        cells=None if cells is None else pack_cells(cells),
        last_second=None if activity is None else activity.last_second,
        activity=None if activity is None else pack_activity(activity),
    )
    if cells is not None and applied.delta_seq is not None:
        deltas.put(applied.delta_seq, cells)
    if activity is not None and applied.window_seq is not None:
        window.remember(applied.window_seq, activity)
    return applied.is_new
