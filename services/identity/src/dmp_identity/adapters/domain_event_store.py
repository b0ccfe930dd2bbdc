"""Puts domain events into the outbox over the raw connection of a graph transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_identity.adapters.bulk import Texts, bulk_cursor

_ADD: Final = b"""
INSERT INTO domain_event_outbox (id, kind, occurred_at, payload)
SELECT e.id::uuid, e.kind, e.occurred_at::timestamptz, e.payload::jsonb
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS e (id, kind, occurred_at, payload)
"""


async def add_domain_events(connection: psycopg.AsyncConnection[Any], events: Sequence[DomainEvent]) -> None:
    """Stores the events in the caller's transaction; the drain loop publishes them after it."""
    if events:
        await bulk_cursor(connection).execute(
            _ADD,
            (
                Texts([str(event.id) for event in events]),
                Texts([event.kind for event in events]),
                Texts([event.occurred_at.isoformat() for event in events]),
                Texts([msgspec.json.encode(event.payload).decode() for event in events]),
            ),
        )
