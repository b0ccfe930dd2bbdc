"""The outbox: batches that identity or stats has not acknowledged yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dmp_chassis.database import Database, raw

_TAKE: Final = """
UPDATE outbox SET attempts = attempts + 1, deliver_after = now() + %(lease)s * interval '1 second'
WHERE batch_id IN (
  SELECT batch_id FROM outbox WHERE deliver_after <= now() ORDER BY deliver_after LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING batch_id::text, payload, identity_applied, stats_applied, attempts
"""
_NOTE: Final = """
UPDATE outbox SET
  identity_applied = identity_applied OR %(identity)s,
  stats_applied = stats_applied OR %(stats)s,
  deliver_after = now() + %(pause)s * interval '1 second'
WHERE batch_id = %(batch_id)s
"""
_DROP: Final = "DELETE FROM outbox WHERE batch_id = ANY(%(batch_ids)s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A batch in the outbox, leased to its taker. attempts: how often it has been taken, this time included."""

    batch_id: str
    payload: bytes
    identity_applied: bool
    stats_applied: bool
    attempts: int


class Outbox:
    """The outbox as relays see it. Rows that another relay holds are passed over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, *, limit: int, lease_seconds: float) -> list[Waiting]:
        """Leases up to `limit` batches that are due, longest waiting first; nobody else takes them before the lease
        is over."""
        async with self._database.begin() as connection:
            cursor = await raw(connection).execute(_TAKE, {"limit": limit, "lease": lease_seconds}, prepare=True)
            rows = await cursor.fetchall()
        return [
            Waiting(batch_id=row[0], payload=row[1], identity_applied=row[2], stats_applied=row[3], attempts=row[4])
            for row in rows
        ]

    async def note(self, batch_id: str, *, identity: bool, stats: bool, pause_seconds: float) -> None:
        """Notes who has applied the batch, and lets it wait before it is due again."""
        async with self._database.begin() as connection:
            await raw(connection).execute(
                _NOTE, {"batch_id": batch_id, "identity": identity, "stats": stats, "pause": pause_seconds}
            )

    async def drop(self, batch_ids: Sequence[str]) -> None:
        """Removes batches that both have applied."""
        async with self._database.begin() as connection:
            await raw(connection).execute(_DROP, {"batch_ids": list(batch_ids)})
