"""Reads the log by the day on which events were received."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date
from typing import Final

from psycopg.rows import TupleRow

from dmp_chassis.database import Database, raw

COLUMNS: Final = (
    "event_id", "event_key", "type", "source", "campaign_id", "creative_id", "user_id", "occurred_at", "received_at",
    "identifiers", "metadata",
)  # fmt: skip
"""What a row has, in this order."""

_AT_ONCE: Final = 1_000
"""With the largest metadata these are 16 MB."""
_READ: Final = """
SELECT event_id, uuid_send(event_key), type, source, campaign_id, creative_id, user_id, occurred_at, received_at,
       identifiers, metadata::text
FROM event WHERE received_at >= %(day)s::date::timestamp AT TIME ZONE 'UTC'
  AND received_at < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC' AND type <> ''
"""


class LogDays:
    """The log by day, in UTC. Days are found by a block-range index: as a rule, events were stored as they came."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, day: date) -> AsyncGenerator[list[TupleRow], None]:
        """The events that were received on this day, up to 1,000 at a time, in no order; all of one moment.

        Identifiers are pairs, metadata are JSON as it was sent. Events that were emptied are left out.
        """
        async with self._database.read() as transaction, raw(transaction).cursor(name="day", binary=True) as cursor:
            await cursor.execute(_READ, {"day": day})
            while rows := await cursor.fetchmany(_AT_ONCE):
                yield rows
