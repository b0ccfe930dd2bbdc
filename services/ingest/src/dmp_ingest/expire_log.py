"""Empties events of the log that are older than the log's retention: their contents go, their keys stay (ADR 0015).

A round walks through the whole table, a few blocks at a time, and rests after each step for as long as the step took.
It needs no index, and finds events that arrived late.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from dmp_ingest.adapters.log_retention import LogRetention

_LOG: Final = logging.getLogger(__name__)
_BLOCKS_AT_ONCE: Final = 64
"""About 2,500 events; one transaction."""
_ROUND_SECONDS: Final = 6 * 3600.0
_LOOK_SECONDS: Final = 60.0
_TRUSTED: Final = timedelta(days=2)
"""Events come at once as a rule. If none has happened for so long, the clock may be ahead, and nothing is emptied."""


class DistributedLogError(Exception):
    """The log is distributed by Citus: nothing of it can be emptied."""


async def expire_log(
    retention: LogRetention, *, days: int, now: datetime, round_seconds: float = _ROUND_SECONDS
) -> int:
    """Empties what happened more than so many days ago and was received more than a day ago. Returns how many events.

    One replica does so in each `round_seconds`. Nothing is emptied while the clock is not trusted. Raises
    DistributedLogError, and what the database raises; what was emptied by then stays so.
    """
    if await retention.is_distributed():
        raise DistributedLogError
    if not await retention.has_since(now - _TRUSTED):
        _LOG.debug("no event has happened in the last two days: the log is left as it is")
        return 0
    wanted = (now - timedelta(days=days)).replace(second=0, microsecond=0)
    occurred_before = await retention.begin(wanted, interval_seconds=round_seconds)
    if occurred_before is None:
        return 0
    emptied = 0
    for first in range(0, await retention.blocks(), _BLOCKS_AT_ONCE):
        begun = time.monotonic()
        emptied += await retention.empty(first, first + _BLOCKS_AT_ONCE, occurred_before=occurred_before)
        await asyncio.sleep(time.monotonic() - begun)
    return emptied


async def expire_log_loop(retention: LogRetention, *, days: int, clock: Callable[[], datetime]) -> None:
    """Empties what is due until cancelled. days: 0 keeps everything for ever."""
    while True:
        if days:
            try:
                emptied = await expire_log(retention, days=days, now=clock())
            except DistributedLogError:
                _LOG.error("DMP_INGEST_LOG_RETENTION_DAYS must be 0: a distributed log cannot be emptied")
                days = 0
            except Exception as error:  # noqa: BLE001  # whatever it was, the next round tries again
                _LOG.debug("old events could not be emptied", extra={"error": type(error).__name__})
            else:
                if emptied:
                    _LOG.info("old events of the log were emptied", extra={"events": emptied})
        await asyncio.sleep(_LOOK_SECONDS)
