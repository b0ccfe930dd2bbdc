"""Puts domain events into the outbox over the raw connection of a graph transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_identity.adapters.bulk import bulk_cursor, copy_rows, escaped


async def add_domain_events(connection: psycopg.AsyncConnection[Any], events: Sequence[DomainEvent]) -> None:
    """Stores the events in the caller's transaction; the drain loop publishes them after it."""
    await copy_rows(
        bulk_cursor(connection),
        "domain_event_outbox (id, kind, occurred_at, payload)",
        (
            f"{event.id}\t{event.kind}\t{event.occurred_at.isoformat()}\t{escaped(msgspec.json.encode(event.payload).decode())}"
            for event in events
        ),
    )
