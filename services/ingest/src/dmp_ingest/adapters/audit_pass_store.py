"""Keeps how far the continuous audit is, and lets one replica at a time go on with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, LiteralString

from dmp_chassis.database import Database, raw
from dmp_chassis.metrics import Answer
from dmp_ingest.domain.audit_pass import AuditPass, Found
from dmp_ingest.metrics import PASS_DIFFERENCES, PASS_SECONDS, PASS_UNSETTLED

_TAKE: Final[LiteralString] = """
INSERT INTO audit_pass AS p (id, holder, held_until, next_minute, last_minute, began_at)
VALUES (1, %(holder)s, now() + %(lease)s * interval '1 second', 0, -1, now())
ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE p.held_until <= now() OR p.holder = excluded.holder
RETURNING p.next_minute, p.last_minute, p.counts, p.timelines, p.unsettled, now()
"""
_NOTE: Final[LiteralString] = """
UPDATE audit_pass SET next_minute = %(next)s, last_minute = %(last)s,
  counts = %(counts)s, timelines = %(timelines)s, unsettled = %(unsettled)s
WHERE id = 1 AND holder = %(holder)s
"""
_END: Final[LiteralString] = """
UPDATE audit_pass SET next_minute = 0, last_minute = -1, counts = 0, timelines = 0, unsettled = 0, whole_at = now(),
  whole_counts = %(counts)s, whole_timelines = %(timelines)s, whole_unsettled = %(unsettled)s
WHERE id = 1 AND holder = %(holder)s
"""
_RELEASE: Final[LiteralString] = "UPDATE audit_pass SET held_until = now() WHERE id = 1 AND holder = %(holder)s"
_ERASING: Final[LiteralString] = (
    "SELECT EXISTS (SELECT FROM erasure WHERE completed_at IS NULL OR completed_at >= %(since)s)"
)
# A pass under way that has found more counts at once; what it has not found is only over when it is whole.
_FIGURES: Final[LiteralString] = """
SELECT greatest(counts, whole_counts), greatest(timelines, whole_timelines), whole_unsettled,
  extract(epoch FROM now() - coalesce(whole_at, began_at))
FROM audit_pass
"""


class AuditPasses:
    """The one pass that is under way, in one row, for a holder that a text names."""

    def __init__(self, database: Database, *, holder: str) -> None:
        self._database = database
        self._holder = holder
        self._holds = False

    async def take(self, *, lease_seconds: float) -> tuple[AuditPass, datetime] | None:
        """The pass, with the database's time, if nobody else holds it; nobody else gets it within the lease."""
        row = await self._write(_TAKE, lease=lease_seconds)
        self._holds = row is not None
        if row is None:
            return None
        found = Found(counts=row[2], timelines=row[3], unsettled=row[4])
        return AuditPass(next_minute=row[0], last_minute=row[1], found=found), row[5]

    async def note(self, passed: AuditPass) -> None:
        """Keeps how far the pass is; with its last minute, what it found is what the metrics show."""
        await self._write(
            _END if passed.whole else _NOTE,
            next=passed.next_minute,
            last=passed.last_minute,
            counts=passed.found.counts,
            timelines=passed.found.timelines,
            unsettled=passed.found.unsettled,
        )

    async def release(self) -> None:
        """Lets another replica go on. Nothing is asked of the database if this one does not hold the pass."""
        if self._holds:
            self._holds = False
            await self._write(_RELEASE)

    async def erased_since(self, since: datetime) -> bool:
        """Whether a person was being erased at any time since then: log and timelines may differ for so long."""
        async with self._database.read() as transaction:
            row = await (await raw(transaction).execute(_ERASING, {"since": since})).fetchone()
        return row is None or bool(row[0])

    async def figures(self) -> Answer:
        """What the metrics show, the same on every replica. Raises what the database raises."""
        async with self._database.read() as transaction:
            row = await (await raw(transaction).execute(_FIGURES)).fetchone()
        if row is None:
            return {}
        return {
            (PASS_DIFFERENCES, "counts"): float(row[0]),
            (PASS_DIFFERENCES, "timelines"): float(row[1]),
            (PASS_UNSETTLED,): float(row[2]),
            (PASS_SECONDS,): float(row[3]),
        }

    async def _write(self, statement: LiteralString, **parameters: object) -> tuple[Any, ...] | None:
        async with self._database.begin() as transaction:
            cursor = await raw(transaction).execute(statement, {"holder": self._holder, **parameters})
            return await cursor.fetchone() if cursor.description is not None else None
