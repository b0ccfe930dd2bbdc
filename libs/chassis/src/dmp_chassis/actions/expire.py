"""Removes actions that are older than a deployment keeps them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from dmp_chassis.database import Database, raw

_LOG: Final = logging.getLogger(__name__)
_ROWS_AT_ONCE: Final = 1_000
_EVERY_SECONDS: Final = 600.0

_EXPIRE: Final = b"""
DELETE FROM action WHERE id IN (
  SELECT id FROM action WHERE acted_at < now() - %s * interval '1 day' ORDER BY acted_at, id LIMIT %s
  FOR UPDATE SKIP LOCKED
)
"""


async def expire_actions(database: Database, *, days: int) -> int:
    """Removes actions that are more than so many days old, in small transactions; 0 days keep all. Returns how many."""
    removed = 0
    while days:
        async with database.begin() as transaction:
            connection = raw(transaction)
            await connection.execute(b"SELECT set_config('dmp.actions', 'expire', true)")
            rows = (await connection.execute(_EXPIRE, (days, _ROWS_AT_ONCE))).rowcount
        removed += rows
        if rows < _ROWS_AT_ONCE:
            break
    return removed


async def expire_actions_loop(database: Database, *, days: int, interval_seconds: float = _EVERY_SECONDS) -> None:
    """Removes what is due at the interval until cancelled."""
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await expire_actions(database, days=days)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the next round tries again
            _LOG.debug("old actions could not be removed", extra={"error": type(error).__name__})
