"""Removes from a consumer's inbox the batches that were applied long ago: a row a batch would else grow for ever.

A batch comes again while ingest has not noted that it was applied: for seconds as a rule, as long as ingest is away at
most. Whoever restores an older log gets the batches of its outbox again. So rows stay for longer than the oldest backup
that would be restored.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import Final

from dmp_chassis.database import Database, raw
from dmp_chassis.slices import Slices

_LOG: Final = logging.getLogger(__name__)
_SECONDS_A_DAY: Final = 86_400
# A batch's id begins with the milliseconds at which it was made (RFC 9562, section 5.7): its key leads to the oldest.
# What was made long ago but applied lately stays.
_REMOVE: Final = """
DELETE FROM inbox WHERE batch_id IN (
  SELECT batch_id FROM inbox
  WHERE batch_id < %(made_before)s AND applied_at < now() - %(days)s * interval '1 day'
  ORDER BY batch_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
"""


async def expire_inbox(database: Database, *, retention_days: int, now: float) -> int:
    """Removes what was applied more than so many days ago, in small transactions; returns how many batches that were.

    now: seconds since 1970 UTC. Raises what the database raises.
    """
    made_before = uuid.UUID(int=int((now - retention_days * _SECONDS_A_DAY) * 1000) << 80)
    slices, removed = Slices(), 0
    while True:
        begun, limit = time.monotonic(), slices.rows
        async with database.begin() as transaction:
            parameters = {"made_before": made_before, "days": retention_days, "limit": limit}
            cursor = await raw(transaction).execute(_REMOVE, parameters)
        removed += cursor.rowcount
        if cursor.rowcount < limit:
            return removed
        await asyncio.sleep(slices.took(limit, time.monotonic() - begun))


async def expire_inbox_for_ever(database: Database, *, retention_days: int, interval_seconds: float) -> None:
    """Removes what is due, now and at the interval, until cancelled. retention_days: 0 keeps everything for ever."""
    while True:
        if retention_days:
            try:
                await expire_inbox(database, retention_days=retention_days, now=time.time())
            except Exception as error:  # noqa: BLE001 -- whatever it was, the next round tries again
                _LOG.debug("old batches could not be removed", extra={"error": type(error).__name__})
        await asyncio.sleep(interval_seconds)
