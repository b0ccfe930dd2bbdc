"""The outbox: batches that identity or stats has not acknowledged yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, LiteralString, TypeAlias

from dmp_chassis.database import Database, raw

ConsumerName: TypeAlias = Literal["identity", "stats"]
CONSUMERS: Final[tuple[ConsumerName, ...]] = ("identity", "stats")

LEASE_SECONDS: Final = 2.0
"""For so long nobody else delivers a batch that a process has in hand. A process that lives renews its leases
earlier."""

_TAKE: Final[LiteralString] = """
UPDATE outbox SET attempts = attempts + 1, deliver_after = now() + %(lease)s * interval '1 second'
WHERE batch_id IN (
  SELECT batch_id FROM outbox WHERE deliver_after <= now() AND NOT {consumer}_applied
  ORDER BY deliver_after LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING batch_id::text, payload, attempts
"""
_TAKE_FOR: Final[dict[ConsumerName, LiteralString]] = {
    "identity": _TAKE.replace("{consumer}", "identity"),
    "stats": _TAKE.replace("{consumer}", "stats"),
}
# A row that another statement is writing at this moment is passed over; its lease is renewed the next time.
_RENEW: Final = """
UPDATE outbox SET deliver_after = now() + %(lease)s * interval '1 second'
WHERE batch_id IN (SELECT batch_id FROM outbox WHERE batch_id = ANY(%(batch_ids)s) FOR UPDATE SKIP LOCKED)
"""
# A row is either complete and is deleted, or not complete and is updated. No row is touched by both parts.
_WRITE: Final = """
WITH outcome AS (
  SELECT * FROM unnest(%(batch_ids)s::uuid[], %(identity)s::boolean[], %(stats)s::boolean[], %(pauses)s::float8[])
    AS o (batch_id, identity, stats, pause)
), complete AS (
  DELETE FROM outbox b USING outcome o
  WHERE b.batch_id = o.batch_id AND (b.identity_applied OR o.identity) AND (b.stats_applied OR o.stats)
)
UPDATE outbox b SET
  identity_applied = b.identity_applied OR o.identity,
  stats_applied = b.stats_applied OR o.stats,
  deliver_after = now() + o.pause * interval '1 second'
FROM outcome o
WHERE b.batch_id = o.batch_id AND NOT ((b.identity_applied OR o.identity) AND (b.stats_applied OR o.stats))
"""
_DROP: Final = "DELETE FROM outbox WHERE batch_id = ANY(%(batch_ids)s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A batch in the outbox, leased to its taker."""

    batch_id: str
    payload: bytes
    attempts: int
    """How often it has been taken, this time included."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a batch that a process had in hand."""

    identity: bool = False
    """Identity has acknowledged it."""
    stats: bool = False
    """Stats has acknowledged it."""
    pause_seconds: float = 0.0
    """For how long nobody is to try again."""


class Outbox:
    """The outbox, for whoever delivers batches. Rows that another replica has in hand are passed over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, consumer: ConsumerName, *, limit: int) -> list[Waiting]:
        """Leases up to `limit` batches that are due and that this consumer lacks, longest waiting first."""
        async with self._database.begin() as connection:
            parameters = {"limit": limit, "lease": LEASE_SECONDS}
            cursor = await raw(connection).execute(_TAKE_FOR[consumer], parameters, prepare=True)
            rows = await cursor.fetchall()
        return [Waiting(batch_id=row[0], payload=row[1], attempts=row[2]) for row in rows]

    async def renew(self, batch_ids: Collection[str]) -> None:
        """Renews the leases of these batches. Does not wait for rows that are locked."""
        async with self._database.begin() as connection:
            await raw(connection).execute(_RENEW, {"batch_ids": list(batch_ids), "lease": LEASE_SECONDS})

    async def write(self, outcomes: dict[str, Outcome]) -> None:
        """Writes outcomes by batch id. A batch that both consumers have leaves the outbox; any other is due again after
        its pause."""
        parameters = {
            "batch_ids": list(outcomes),
            "identity": [outcome.identity for outcome in outcomes.values()],
            "stats": [outcome.stats for outcome in outcomes.values()],
            "pauses": [outcome.pause_seconds for outcome in outcomes.values()],
        }
        async with self._database.begin() as connection:
            await raw(connection).execute(_WRITE, parameters)

    async def drop(self, batch_ids: Sequence[str]) -> None:
        """Removes batches that both have applied."""
        async with self._database.begin() as connection:
            await raw(connection).execute(_DROP, {"batch_ids": list(batch_ids)})
