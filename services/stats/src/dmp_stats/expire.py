"""Removes what is too old: batches that have left the window, and rollups beyond their retention."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from dmp_chassis.database import Database
from dmp_stats.adapters import fold_store, forgotten_store, rollup_store, window_store

_LOG: Final = logging.getLogger(__name__)
_ROWS_AT_ONCE: Final = 2_000
_TRUSTED_MINUTES: Final = 2 * 1440
"""Events are at most a day ahead of the clock of their time, so a clock that is further ahead finds none so late."""


async def expire(database: Database, *, now: float, window_seconds: int, retention_days: Mapping[int, int]) -> int:
    """Removes everything that is too old, in small transactions. Returns how many rows that were.

    retention_days: for how many days the rows of each grain are kept; 0 means for ever. now: seconds since 1970 UTC.

    Rollups stay while nothing is counted in the last two days: then the clock may be ahead, and what was removed does
    not come back when it is right again.
    """
    removed = 0
    while True:
        async with database.begin() as connection:
            rows = await window_store.prune(connection, up_to_second=int(now) - window_seconds, limit=_ROWS_AT_ONCE)
        removed += rows
        if rows < _ROWS_AT_ONCE:
            break
    async with database.begin() as connection:
        await forgotten_store.prune(connection, before_second=now - window_seconds)
    async with database.read() as connection:
        is_right = await rollup_store.has_since(connection, int(now) // 60 - _TRUSTED_MINUTES)
    if not is_right:
        _LOG.debug("nothing is counted in the last two days: no rollup is removed")
        return removed
    for grain, days in retention_days.items():
        # A bucket goes when all of it is too old.
        before = int(now) // 60 - days * 1440 - grain + 1
        while days:
            async with database.begin() as connection:
                rows = await rollup_store.remove_before(connection, grain=grain, bucket=before, limit=_ROWS_AT_ONCE)
            removed += rows
            if rows < _ROWS_AT_ONCE:
                break
    return removed


async def expire_for_ever(
    database: Database,
    *,
    clock: Callable[[], float],
    window_seconds: int,
    retention_days: Mapping[int, int],
    interval_seconds: float,
) -> None:
    """Removes what is due at the interval until cancelled.

    In its first round it also lists the campaigns that only the release before has folded.
    """
    are_listed = False
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            if not are_listed:
                async with database.begin() as connection:
                    await fold_store.mark_missing_campaigns(connection)
                are_listed = True
            await expire(database, now=clock(), window_seconds=window_seconds, retention_days=retention_days)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the next round tries again
            _LOG.debug("old rows could not be removed", extra={"error": f"{type(error).__name__}: {error}"})
