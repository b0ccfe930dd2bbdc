"""Stores events in PostgreSQL and reads them. The unique key of the table `event` decides what a duplicate is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis import domain_events
from dmp_chassis.database import Database, key_may_be_taken, raw
from dmp_chassis.instants import instant_us
from dmp_ingest.adapters import tables
from dmp_ingest.adapters.copy_block import COLUMNS, copy_block
from dmp_ingest.adapters.group_writer import GroupWriter, NewGroup
from dmp_ingest.adapters.uuid_text import uuid_array_text
from dmp_ingest.domain.batch import Batch
from dmp_ingest.domain.duplicate import EventContent
from dmp_ingest.domain.event import AcceptableEvent

_COLUMN_LIST: Final = ", ".join(COLUMNS)
_COPY: Final = f"COPY event ({_COLUMN_LIST}) FROM STDIN (FORMAT binary)"
_COPY_INCOMING: Final = f"COPY incoming ({_COLUMN_LIST}) FROM STDIN (FORMAT binary)"
_INSERT_INCOMING: Final = (
    f"INSERT INTO event ({_COLUMN_LIST}) SELECT {_COLUMN_LIST} FROM incoming"  # noqa: S608  # no input in it
    " ORDER BY event_key ON CONFLICT (event_key) DO NOTHING"
)
# Whose a row is says the row itself: a distributed table does not count what an upsert has inserted (ADR 0020).
_FIND_STORED: Final = (
    "SELECT event_key, fingerprint FROM event WHERE event_key = ANY(%(keys)s::uuid[]) AND batch_id <> %(batch_id)s"
)
_ADD_BATCH: Final = (
    "WITH acknowledged AS (DELETE FROM outbox WHERE batch_id = ANY(%(acknowledged)s))"
    " INSERT INTO outbox (batch_id, payload, identity_applied, stats_applied, attempts, deliver_after)"
    " VALUES (%(batch_id)s, %(payload)s, false, false, 0, now() + %(lease)s * interval '1 second')"
)

Row: TypeAlias = sa.Row[tuple[object, ...]]


class AlreadyStoredError(Exception):
    """At least one event of a group is, or may be, in the log already: nothing of the group was appended."""


class Appending:
    """One transaction that appends a group of events and their batch."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, events: Sequence[AcceptableEvent], *, batch_id: bytes, received_at_us: int) -> None:
        """Appends events that are believed to be new.

        Raises AlreadyStoredError if one of them is in the log; the transaction cannot go on then.
        """
        block = copy_block(_in_key_order(events), batch_id=batch_id, received_at_us=received_at_us)
        try:
            async with raw(self._connection).cursor() as cursor, cursor.copy(_COPY) as copy:
                await copy.write(block)
        except psycopg.Error as error:
            if not key_may_be_taken(error):
                raise
            raise AlreadyStoredError from None

    async def append_missing(
        self, events: Sequence[AcceptableEvent], *, batch_id: bytes, received_at_us: int
    ) -> dict[bytes, int]:
        """Appends those events that the log does not have. Returns the others: key and fingerprint in the log.

        It waits for other transactions that are appending the same events. No two of the events may have one key.
        """
        block = copy_block(events, batch_id=batch_id, received_at_us=received_at_us)
        async with raw(self._connection).cursor(binary=True) as cursor:
            await cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE event) ON COMMIT DELETE ROWS")
            async with cursor.copy(_COPY_INCOMING) as copy:
                await copy.write(block)
            await cursor.execute(_INSERT_INCOMING)
            keys = uuid_array_text([event.key for event in events])
            await cursor.execute(_FIND_STORED, {"keys": keys, "batch_id": uuid.UUID(bytes=batch_id)})
            return {key.bytes: fingerprint for key, fingerprint in await cursor.fetchall()}

    async def add_batch(self, batch: Batch, *, lease_seconds: float, acknowledged: Sequence[str]) -> None:
        """Puts the batch into the outbox and deletes acknowledged ones there.

        Nobody else delivers it before the lease ends.
        """
        await raw(self._connection).execute(
            _ADD_BATCH,
            {
                "batch_id": batch.batch_id,
                "payload": batch.payload,
                "lease": lease_seconds,
                "acknowledged": list(acknowledged),
            },
        )

    async def announce(self, events: Sequence[domain_events.DomainEvent]) -> None:
        """Puts domain events into their outbox."""
        await domain_events.add(self._connection, events)


class EventLog:
    """The log as a whole."""

    def __init__(self, database: Database, groups: GroupWriter) -> None:
        self._database = database
        self._groups = groups

    async def append_at_once(self, group: NewGroup) -> None:
        """Appends a small group of events that are believed to be new, with its batch and announcements, in one
        statement.

        Raises AlreadyStoredError if one of the events is in the log; nothing is changed then.
        """
        try:
            await self._groups.store(replace(group, events=_in_key_order(group.events)))
        except psycopg.Error as error:
            if not key_may_be_taken(error):
                raise
            raise AlreadyStoredError from None

    async def check(self) -> None:
        """Returns if the database answers, else raises."""
        await self._database.check()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Appending]:
        """One transaction, committed when the block ends."""
        async with self._database.begin() as connection:
            yield Appending(connection)

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The stored events of these keys, by key. Keys that the log does not have are left out. One indexed read.

        The metadata are text, in `metadata_json`, or None. If they were decoded, numbers that no float can hold would
        change.
        """
        as_sent = sa.cast(tables.event.c.metadata, sa.Text).label("metadata_json")
        decoded = [column for column in tables.event.c if column is not tables.event.c.metadata]
        columns: list[sa.ColumnElement[Any]] = [*decoded, as_sent]
        query: sa.Select[tuple[object, ...]] = sa.select(*columns).where(
            tables.event.c.event_key.in_([key.hex() for key in keys])
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return {bytes.fromhex(row.event_key.replace("-", "")): row for row in rows}

    async def undelivered(self, keys: Sequence[bytes]) -> bool:
        """Whether the batch of one of these events is still in the outbox. The events have been seen in the log."""
        waiting = sa.select(tables.outbox.c.batch_id).limit(1)
        of_keys = tables.event.c.event_key.in_([key.hex() for key in keys])
        async with self._database.read() as connection:
            if (await connection.execute(waiting)).first() is None:
                return False
            batches = (await connection.scalars(sa.select(tables.event.c.batch_id).distinct().where(of_keys))).all()
        # A transaction of its own: where the log is distributed, a batch shows in the outbox before its events show in
        # the log, so whoever looks there later misses none (ADR 0020).
        async with self._database.read() as connection:
            return (await connection.execute(waiting.where(tables.outbox.c.batch_id.in_(batches)))).first() is not None


def content_from_row(row: Row) -> EventContent:
    """What a stored event says; the row is one that `read` gave."""
    return EventContent(
        type=row.type,
        source=row.source or "",
        campaign_id=row.campaign_id or "",
        creative_id=row.creative_id or "",
        user_id=row.user_id or "",
        occurred_at_us=instant_us(row.occurred_at),
        identifiers=frozenset((kind, value) for kind, value in row.identifiers or ()),
        metadata=(row.metadata_json or "").encode(),
    )


def _in_key_order(events: Sequence[AcceptableEvent]) -> list[AcceptableEvent]:
    """The events in the order of their keys. If every group inserts in this order, two groups with the same events wait
    for each other but never deadlock."""
    return sorted(events, key=lambda event: event.key)
