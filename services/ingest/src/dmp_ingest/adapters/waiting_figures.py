"""What waits in ingest's database: batches for a consumer, erasures that are not complete. For the metrics."""

from __future__ import annotations

import time
import uuid
from typing import Final, LiteralString

from dmp_chassis.database import Database, raw
from dmp_chassis.metrics import Answer
from dmp_ingest.metrics import ERASURES_OPEN, ERASURES_SECONDS, OUTBOX_BATCHES, OUTBOX_SECONDS

_MOST_COUNTED: Final = 100_000
_CONSUMERS: Final = ("identity", "stats")
# The ids of batches begin with the time, so the first by id is the oldest.
_OF_CONSUMER: Final[LiteralString] = """
  (SELECT count(*) FROM (SELECT FROM outbox WHERE NOT {consumer}_applied LIMIT %(most)s) AS counted),
  (SELECT batch_id FROM outbox WHERE NOT {consumer}_applied ORDER BY batch_id LIMIT 1)
"""
_ASK: Final[LiteralString] = (
    "SELECT "  # noqa: S608  # constants
    + _OF_CONSUMER.replace("{consumer}", "identity")
    + ", "
    + _OF_CONSUMER.replace("{consumer}", "stats")
    + """,
  (SELECT count(*) FROM erasure WHERE completed_at IS NULL),
  (SELECT coalesce(extract(epoch FROM now() - min(requested_at)), 0) FROM erasure WHERE completed_at IS NULL)
"""
)


async def ask_what_waits(database: Database) -> Answer:
    """How much waits, and for how long. Raises what the database raises."""
    async with database.read() as connection:
        cursor = await raw(connection).execute(_ASK, {"most": _MOST_COUNTED})
        row = await cursor.fetchone()
    assert row is not None
    figures: dict[tuple[object, ...], float] = {}
    for consumer, (count, oldest) in zip(_CONSUMERS, (row[0:2], row[2:4]), strict=True):
        figures[OUTBOX_BATCHES, consumer] = float(count)
        figures[OUTBOX_SECONDS, consumer] = _age_seconds(oldest)
    figures[ERASURES_OPEN,] = float(row[4])
    figures[ERASURES_SECONDS,] = float(row[5])
    return figures  # type: ignore[return-value]  # keys are tuples of a metric and its labels


def _age_seconds(batch_id: uuid.UUID | None) -> float:
    """The age of a batch, by the time in its id (UUIDv7: milliseconds in the first 48 bits)."""
    return 0.0 if batch_id is None else max(0.0, time.time() - (batch_id.int >> 80) / 1000)
