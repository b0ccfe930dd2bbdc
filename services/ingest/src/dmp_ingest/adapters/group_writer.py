"""Stores a small group in one statement, which is one transaction and one round trip.

For a group of a few dozen events, a transaction with COPY costs five round trips, more than the events themselves. Here
the events travel as one binary array for each column. Large groups are cheaper to copy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

import msgspec
import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.instants import instant_us
from dmp_chassis.pipeline import Pipeline
from dmp_ingest.domain.batch import Batch
from dmp_ingest.domain.event import AcceptableEvent

_ACQUIRE_SECONDS: Final = 0.9
_TRUSTED_SECONDS: Final = 0.25
"""A connection that answered within this time is used without asking it again."""
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000

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

_UUID, _INT8, _TEXT, _JSON, _TIMESTAMPTZ = 2950, 20, 25, 114, 1184
_HEADER: Final = Struct("!iiIii").pack
_EMPTY: Final = Struct("!iiI").pack
_LENGTH: Final = Struct("!i").pack
_SIZED_INT8: Final = Struct("!iq").pack
_LONG: Final = Struct("!q").pack
_DOUBLE: Final = Struct("!d").pack
_UUID_SIZE: Final = b"\x00\x00\x00\x10"
_NULL: Final = b"\xff\xff\xff\xff"
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
        self._url = url
        self._idle: list[tuple[float, Pipeline]] = []
        self._is_closed = False

    async def store(self, group: NewGroup) -> None:
        """Stores the group, its events in their order.

        Raises DependencyUnavailable if the database does not answer, psycopg.errors.UniqueViolation if one of the
        events is there already, else what the database raises. Nothing is stored then. Only if the connection was lost
        in the middle, the group may be stored.
        """
        pipeline = await self._acquire()
        try:
            await pipeline.run([_values(group)])
        except psycopg.Error:
            await self._release(pipeline)
            raise
        except BaseException:
            # Whatever it was, the connection may be in the middle of an answer and cannot be used again.
            await pipeline.close()
            raise
        await self._release(pipeline)

    async def close(self) -> None:
        """Closes all connections; one in use when its group ends."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for _, pipeline in idle:
            await pipeline.close()

    async def _acquire(self) -> Pipeline:
        """A connection that has just answered or answers now."""
        if self._idle and time.monotonic() - self._idle[-1][0] < _TRUSTED_SECONDS and not self._idle[-1][1].is_lost:
            return self._idle.pop()[1]
        try:
            async with asyncio.timeout(_ACQUIRE_SECONDS):
                while self._idle:
                    pipeline = self._idle.pop()[1]
                    try:
                        if not pipeline.is_lost:
                            await pipeline.check()
                            return pipeline
                    except psycopg.Error:
                        pass
                    except BaseException:
                        await pipeline.close()
                        raise
                    await pipeline.close()
                return await self._connect()
        except TimeoutError:
            raise DependencyUnavailable("postgres") from None

    async def _release(self, pipeline: Pipeline) -> None:
        if self._is_closed or pipeline.is_lost:
            await pipeline.close()
        else:
            self._idle.append((time.monotonic(), pipeline))

    async def _connect(self) -> Pipeline:
        return await Pipeline.connect(self._url, _STORE, parameters=_PARAMETERS, application_name="ingest groups")


def _values(group: NewGroup) -> list[bytes]:
    """The statement's parameters."""
    events = group.events
    texts = _SizedTexts({"": _NULL})
    return [
        _array(_UUID, [_UUID_SIZE + _uuid(batch_id) for batch_id in group.acknowledged]),
        _uuid(group.batch.batch_id),
        group.batch.payload,
        _DOUBLE(group.lease_seconds),
        _array(_UUID, [_UUID_SIZE + _uuid(each.id) for each in group.announcements]),
        _array(_TEXT, [texts[each.kind] for each in group.announcements]),
        _array(_TIMESTAMPTZ, [_time(instant_us(each.occurred_at)) for each in group.announcements]),
        _array(_TEXT, [_sized(_encode_json(each.payload)) for each in group.announcements]),
        _LONG(group.received_at_us - _POSTGRES_EPOCH_US),
        _array(_UUID, [_UUID_SIZE + event.key for event in events]),
        _array(_INT8, [_SIZED_INT8(8, event.fingerprint) for event in events]),
        _array(_TIMESTAMPTZ, [_time(event.occurred_at_us) for event in events]),
        _array(_TEXT, [_sized(event.event_id.encode()) for event in events]),
        _array(_TEXT, [texts[event.type] for event in events]),
        _array(_TEXT, [texts[event.source] for event in events]),
        _array(_TEXT, [texts[event.campaign_id] for event in events]),
        _array(_TEXT, [texts[event.creative_id] for event in events]),
        _array(_TEXT, [texts[event.user_id] for event in events]),
        _array(_JSON, [_sized(_encode_json(event.identifiers)) if event.identifiers else _NULL for event in events]),
        _array(_JSON, [_sized(event.metadata) if event.metadata else _NULL for event in events]),
    ]


class _SizedTexts(dict[str, bytes]):
    """Each text as an element of an array; the empty text is NULL."""

    def __missing__(self, text: str) -> bytes:
        self[text] = encoded = _sized(text.encode())
        return encoded


def _array(kind: int, elements: Sequence[bytes]) -> bytes:
    """An array of elements with their sizes; without any it has no dimension. *Source:* PostgreSQL, array_recv."""
    if not elements:
        return _EMPTY(0, 0, kind)
    return _HEADER(1, 1, kind, len(elements), 1) + b"".join(elements)


def _sized(data: bytes) -> bytes:
    return _LENGTH(len(data)) + data


def _time(moment_us: int) -> bytes:
    return _SIZED_INT8(8, moment_us - _POSTGRES_EPOCH_US)


def _uuid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))
