"""The outbox of domain events: written in the transaction that makes them true, then published, then deleted."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database, after_commit, raw
from dmp_chassis.domain_events.event import DomainEvent
from dmp_chassis.domain_events.publishers import Publisher
from dmp_chassis.outages import outage

_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_PUBLISH_SECONDS: Final = 5.0


def domain_event_outbox(metadata: sa.MetaData) -> sa.Table:
    """Adds the table `domain_event_outbox` to a service's metadata; its migration must create the same.

    Keyed by the event's id, whose leading bits are its time of making: rows are taken in about that order.
    """
    return sa.Table(
        "domain_event_outbox",
        metadata,
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", JSONB, nullable=False),
    )


_OUTBOX: Final = domain_event_outbox(sa.MetaData())
# One parameter however many events: half of what the insert costs through SQLAlchemy, for every group of events.
_ADD: Final = b"""
INSERT INTO domain_event_outbox (id, kind, occurred_at, payload)
SELECT id, kind, occurred_at, payload
FROM jsonb_to_recordset(%s::jsonb) AS event (id uuid, kind text, occurred_at timestamptz, payload jsonb)
"""
_TAKE: Final = sa.select(_OUTBOX).order_by(_OUTBOX.c.id).limit(sa.bindparam("take")).with_for_update(skip_locked=True)
_DELETE: Final = sa.delete(_OUTBOX).where(
    _OUTBOX.c.id == sa.func.any(sa.bindparam("ids", type_=sa.ARRAY(sa.Uuid(as_uuid=False))))
)


async def add(connection: AsyncConnection, events: Sequence[DomainEvent], *, wake: asyncio.Event | None = None) -> None:
    """Stores the events in the caller's transaction. `wake`, that of the `drain_loop`, is set once it is committed."""
    if not events:
        return
    await add_over(raw(connection), events)
    if wake is not None:
        after_commit(connection, wake.set)


async def add_over(connection: psycopg.AsyncConnection[Any], events: Sequence[DomainEvent]) -> None:
    """As `add`, over a psycopg connection; whoever wants them published at once sets the loop's `wake`."""
    if events:
        await connection.execute(_ADD, (msgspec.json.encode(events).decode(),))


async def drain(database: Database, publisher: Publisher, *, limit: int = 500) -> int:
    """Publishes and then deletes up to `limit` events, oldest first; returns how many.

    Rows that another drain holds are passed over. If publishing fails, or the process ends before the commit, the rows
    stay and are published again: at least once. Raises what the publisher or the database raises.
    """
    async with database.begin() as connection:
        rows = (await connection.execute(_TAKE, {"take": limit})).all()
        if not rows:
            return 0
        events = [
            DomainEvent(id=row.id, kind=row.kind, occurred_at=row.occurred_at, payload=row.payload) for row in rows
        ]
        async with asyncio.timeout(_PUBLISH_SECONDS):
            await publisher.publish(events)
        await connection.execute(_DELETE, {"ids": [event.id for event in events]})
    return len(rows)


async def drain_loop(
    database: Database,
    publisher: Publisher,
    *,
    wake: asyncio.Event,
    limit: int = 500,
    interval_seconds: float = 1.0,
    rest_seconds: float = 0.2,
) -> None:
    """Drains until cancelled: when `wake` is set, and every `interval_seconds` for what other processes left behind.

    But only `rest_seconds` after the last time: a lone event goes out at once, and of many that are committed one by
    one those of a rest share one transaction and one round trip to the publisher. After a failure it waits a random,
    growing time of at most five seconds, whatever `wake` says.
    """
    failures = 0
    while True:
        wake.clear()
        try:
            while await drain(database, publisher, limit=limit) == limit:
                pass
        except Exception as error:  # noqa: BLE001 -- the rows wait; the next round may succeed whatever this was
            failures += 1
            _log_failure(error, failures)
            longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 -- jitter
            continue
        if failures:
            _LOG.info("domain events are published again", extra={"failures": failures})
            failures = 0
        await asyncio.sleep(rest_seconds)
        await _set_within(wake, interval_seconds - rest_seconds)


def _log_failure(error: Exception, failures: int) -> None:
    """An outage is one line, at its beginning; anything else is a mistake of ours and comes with its traceback."""
    if failures > 1:
        return
    if outage(error) is not None or isinstance(error, TimeoutError):
        _LOG.warning("domain events wait in the outbox", extra={"error": f"{type(error).__name__}: {error}"})
    else:
        _LOG.error("domain events wait in the outbox", exc_info=error)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
