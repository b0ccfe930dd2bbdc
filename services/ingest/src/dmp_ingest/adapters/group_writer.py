"""Stores a small group in one statement, which is one transaction and one round trip.

For a group of a few dozen events, a transaction with COPY costs five round trips, more than the events themselves. Here
the events travel as one binary array for each column. Large groups are cheaper to copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

import msgspec

from dmp_chassis.binary import (
    INT8,
    JSON,
    NULL,
    POSTGRES_EPOCH_US,
    TEXT,
    TIMESTAMPTZ,
    UUID,
    SizedTexts,
    array,
    sized,
    sized_int8,
    sized_time,
    sized_uuid,
    uuid_bytes,
)
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.instants import instant_us
from dmp_chassis.pipeline_pool import PipelinePool
from dmp_ingest.domain.batch import Batch
from dmp_ingest.domain.event import AcceptableEvent

_STORE: Final = b"""
WITH acknowledged AS (DELETE FROM outbox WHERE batch_id = ANY($1::uuid[])),
     added AS (INSERT INTO outbox (batch_id, payload, identity_applied, stats_applied, attempts, deliver_after)
               VALUES ($2::uuid, $3::bytea, false, false, 0, now() + $4::float8 * interval '1 second')),
     announced AS (INSERT INTO domain_event_outbox (id, kind, occurred_at, payload)
                   SELECT a.id, a.kind, a.occurred_at, a.payload::jsonb
                   FROM unnest($5::uuid[], $6::text[], $7::timestamptz[], $8::text[])
                     AS a (id, kind, occurred_at, payload))
INSERT INTO event (event_key, batch_id, fingerprint, occurred_at, received_at, event_id, type, source, campaign_id,
                   creative_id, user_id, identifiers, metadata)
SELECT e.event_key, $2::uuid, e.fingerprint, e.occurred_at, $9::timestamptz, e.event_id, e.type, e.source,
       e.campaign_id, e.creative_id, e.user_id, e.identifiers, e.metadata
FROM unnest($10::uuid[], $11::int8[], $12::timestamptz[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::text[], $18::text[], $19::json[], $20::json[])
  AS e (event_key, fingerprint, occurred_at, event_id, type, source, campaign_id, creative_id, user_id, identifiers,
        metadata)
"""
_PARAMETERS: Final = 20

_LONG: Final = Struct("!q").pack
_DOUBLE: Final = Struct("!d").pack
_encode_json: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGroup:
    """What is stored together in one statement."""

    events: Sequence[AcceptableEvent]
    batch: Batch
    received_at_us: int
    """When the log accepted the events, in microseconds since 1970."""
    lease_seconds: float
    """For how long nobody else delivers the batch."""
    announcements: Sequence[DomainEvent]
    acknowledged: Sequence[str]
    """Batches that leave the outbox."""


class GroupWriter:
    """Writes groups over a few connections, which are opened when first needed, one for each group under way."""

    def __init__(self, url: str) -> None:
        self._pool = PipelinePool(url, _STORE, parameters=_PARAMETERS, application_name="ingest groups")

    async def store(self, group: NewGroup) -> None:
        """Stores the group, its events in their order.

        Raises DependencyUnavailable if the database does not answer, psycopg.errors.UniqueViolation if one of the
        events is there already, else what the database raises. Nothing is stored then. Only if the connection was lost
        in the middle, the group may be stored.
        """
        await self._pool.run_once([_values(group)])

    async def close(self) -> None:
        """Closes all connections; one in use when its group ends."""
        await self._pool.close()


def _values(group: NewGroup) -> list[bytes]:
    """The statement's parameters."""
    events = group.events
    texts = SizedTexts()
    return [
        array(UUID, [sized_uuid(uuid_bytes(batch_id)) for batch_id in group.acknowledged]),
        uuid_bytes(group.batch.batch_id),
        group.batch.payload,
        _DOUBLE(group.lease_seconds),
        array(UUID, [sized_uuid(uuid_bytes(each.id)) for each in group.announcements]),
        array(TEXT, [texts[each.kind] for each in group.announcements]),
        array(TIMESTAMPTZ, [sized_time(instant_us(each.occurred_at)) for each in group.announcements]),
        array(TEXT, [sized(_encode_json(each.payload)) for each in group.announcements]),
        _LONG(group.received_at_us - POSTGRES_EPOCH_US),
        array(UUID, [sized_uuid(event.key) for event in events]),
        array(INT8, [sized_int8(event.fingerprint) for event in events]),
        array(TIMESTAMPTZ, [sized_time(event.occurred_at_us) for event in events]),
        array(TEXT, [sized(event.event_id.encode()) for event in events]),
        array(TEXT, [texts[event.type] for event in events]),
        array(TEXT, [texts[event.source] for event in events]),
        array(TEXT, [texts[event.campaign_id] for event in events]),
        array(TEXT, [texts[event.creative_id] for event in events]),
        array(TEXT, [texts[event.user_id] for event in events]),
        array(JSON, [sized(_encode_json(event.identifiers)) if event.identifiers else NULL for event in events]),
        array(JSON, [sized(event.metadata) if event.metadata else NULL for event in events]),
    ]
