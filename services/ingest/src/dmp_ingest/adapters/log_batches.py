"""Reads batches of the log again and puts them back into the outbox, for consumers that have lost them.

The log has no index by batch (ADR 0002): finding the batches of a range reads the whole log once.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias

from psycopg.rows import TupleRow

from dmp_chassis.database import Database, raw
from dmp_chassis.instants import instant_us
from dmp_ingest.adapters.batch_payload import batch_payload
from dmp_ingest.adapters.contents_lock import share_contents
from dmp_ingest.adapters.outbox import ConsumerName
from dmp_ingest.domain.event import AcceptableEvent

Keys: TypeAlias = list[uuid.UUID]
"""Keys of the events of whole batches."""

_SLICE_EVENTS: Final = 2_000
# A batch's id begins with the milliseconds at which it was made (RFC 9562, section 5.7).
_FIND: Final = (
    "SELECT batch_id, event_key FROM event WHERE batch_id >= %(first)s AND batch_id < %(end)s AND type <> ''"
    " ORDER BY batch_id"
)
_READ: Final = """
SELECT batch_id::text, received_at, event_key, event_id, type, source, occurred_at, campaign_id, creative_id, user_id,
       identifiers
FROM event WHERE event_key = ANY(%(keys)s) AND type <> '' ORDER BY batch_id, event_key
"""
_ADD: Final = """
INSERT INTO outbox (batch_id, payload, identity_applied, stats_applied, attempts, deliver_after)
VALUES (%(batch_id)s, %(payload)s, %(identity_applied)s, %(stats_applied)s, 0, now())
ON CONFLICT (batch_id) DO UPDATE SET
  identity_applied = outbox.identity_applied AND excluded.identity_applied,
  stats_applied = outbox.stats_applied AND excluded.stats_applied
"""


class LogBatches:
    """The log by batch. `counts_as` says what statistics count a type as (see `AcceptableEvent`)."""

    def __init__(self, database: Database, *, counts_as: Mapping[str, int]) -> None:
        self._database = database
        self._counts_as = counts_as

    async def find(self, *, first_us: int, end_us: int) -> AsyncGenerator[Keys, None]:
        """The events of the batches that were made from `first_us` on and before `end_us`, oldest first.

        Each part has whole batches, about 2,000 events. Raises what the database raises.
        """
        parameters = {"first": _first_batch(first_us), "end": _first_batch(end_us)}
        async with self._database.read() as transaction, raw(transaction).cursor(name="batches") as cursor:
            cursor.itersize = _SLICE_EVENTS
            await cursor.execute(_FIND, parameters)
            part: Keys = []
            batch = None
            async for batch_id, event_key in cursor:
                if batch_id != batch and len(part) >= _SLICE_EVENTS:
                    yield part
                    part = []
                batch = batch_id
                part.append(event_key)
            if part:
                yield part

    async def hand_over(self, keys: Keys, *, to: Collection[ConsumerName]) -> int:
        """Puts the batches of these events into the outbox, for these consumers; returns how many batches.

        One transaction. A batch that is in the outbox already stays there, and these consumers get it, too.
        """
        async with self._database.begin() as transaction:
            connection = raw(transaction)
            # An erasure that is about to clean these events waits, and then finds their batch in the outbox.
            await share_contents(connection)
            rows = await (await connection.execute(_READ, {"keys": keys}, binary=True)).fetchall()
            added = [self._row(batch_id, list(batch), to) for batch_id, batch in groupby(rows, itemgetter(0))]
            async with connection.cursor() as cursor:
                await cursor.executemany(_ADD, added)
        return len(added)

    def _row(self, batch_id: str, rows: Sequence[TupleRow], to: Collection[ConsumerName]) -> dict[str, object]:
        """The row of the outbox for one batch."""
        accepted_at_us = instant_us(rows[0][1])
        payload = batch_payload([self._event(row) for row in rows], batch_id=batch_id, accepted_at_us=accepted_at_us)
        return {
            "batch_id": batch_id,
            "payload": payload,
            "identity_applied": "identity" not in to,
            "stats_applied": "stats" not in to,
        }

    def _event(self, row: TupleRow) -> AcceptableEvent:
        """An event as it was accepted, but for its metadata, which no batch has."""
        _, _, key, event_id, kind, source, occurred_at, campaign_id, creative_id, user_id, pairs = row
        identifiers = tuple((name, value) for name, value in pairs or ())
        person = user_id or next((value for name, value in identifiers if name == "user_id"), "")
        return AcceptableEvent(
            key=key.bytes,
            fingerprint=0,
            event_id=event_id,
            type=kind,
            counts_as=self._counts_as.get(kind, 0),
            source=source or "",
            occurred_at_us=instant_us(occurred_at),
            campaign_id=campaign_id or "",
            creative_id=creative_id or "",
            user_id=user_id or "",
            person=person,
            identifiers=identifiers,
            metadata=b"",
        )


def _first_batch(at_us: int) -> uuid.UUID:
    """The smallest id of a batch that was made at this time."""
    return uuid.UUID(int=max(at_us, 0) // 1000 << 80)
