"""Takes the contents out of events that are too old. Their keys stay in the log, so that they never count again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from dmp_chassis.database import Database, raw

_ANY_SINCE: Final = "SELECT 1 FROM event WHERE occurred_at >= %(moment)s LIMIT 1"
_HAS_CITUS: Final = "SELECT to_regclass('pg_dist_partition') IS NOT NULL"
_IS_DISTRIBUTED: Final = "SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'event'::regclass"
# Before anything is emptied: whoever sees an emptied event sees the horizon, too. It never moves back.
_BEGIN: Final = """
INSERT INTO log_horizon AS known (id, occurred_before, due_at)
VALUES (1, %(occurred_before)s, now() + %(interval)s * interval '1 second')
ON CONFLICT (id) DO UPDATE SET
  occurred_before = greatest(known.occurred_before, excluded.occurred_before), due_at = excluded.due_at
WHERE known.due_at <= now()
RETURNING occurred_before
"""
_BLOCKS: Final = "SELECT pg_relation_size('event') / current_setting('block_size')::bigint"
# What somebody else has locked, an erasure for instance, is passed over: it goes in the next round.
_EMPTY: Final = """
UPDATE event SET event_id = '', type = '', source = NULL, campaign_id = NULL, creative_id = NULL, user_id = NULL,
                 identifiers = NULL, metadata = NULL
WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM event
  WHERE ctid >= format('(%%s,0)', %(first)s::bigint)::tid AND ctid < format('(%%s,0)', %(end)s::bigint)::tid
    AND occurred_at < %(occurred_before)s AND received_at < now() - interval '1 day' AND type <> ''
  FOR UPDATE SKIP LOCKED
))
"""


class LogRetention:
    """The log, for whoever empties it. An event that is emptied has no type: no other event is without one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_distributed(self) -> bool:
        """Whether the log is spread over nodes: it has no blocks to walk through then."""
        async with self._database.read() as transaction:
            connection = raw(transaction)
            if await (await connection.execute(_HAS_CITUS)).fetchone() != (True,):
                return False
            return await (await connection.execute(_IS_DISTRIBUTED)).fetchone() is not None

    async def has_since(self, moment: datetime) -> bool:
        """Whether the log has an event that happened then or later."""
        async with self._database.read() as transaction:
            row = await (await raw(transaction).execute(_ANY_SINCE, {"moment": moment})).fetchone()
        return row is not None

    async def begin(self, occurred_before: datetime, *, interval_seconds: float) -> datetime | None:
        """Begins a round: from now on events before this time may be emptied. Returns the time that holds, which is
        later if a round before had a later one.

        None if a round of any replica has begun within the interval.
        """
        parameters = {"occurred_before": occurred_before, "interval": interval_seconds}
        async with self._database.begin() as transaction:
            row = await (await raw(transaction).execute(_BEGIN, parameters)).fetchone()
        return None if row is None else row[0]

    async def blocks(self) -> int:
        """How many blocks the log has."""
        async with self._database.read() as transaction:
            row = await (await raw(transaction).execute(_BLOCKS)).fetchone()
        assert row is not None
        return int(row[0])

    async def empty(self, first: int, end: int, *, occurred_before: datetime) -> int:
        """Empties the events of blocks `first` to `end`, without the last, that happened before this time and have been
        in the log for a day. Returns how many. Waits for no lock."""
        parameters = {"first": first, "end": end, "occurred_before": occurred_before}
        async with self._database.begin() as transaction:
            cursor = await raw(transaction).execute(_EMPTY, parameters)
        return cursor.rowcount
