"""Tells what became of one event."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from dmp_ingest.adapters.event_store import EventLog, Row
from dmp_ingest.adapters.owners import Owners
from dmp_ingest.domain.errors import EventNotFoundError
from dmp_ingest.domain.event_key import event_key

_LOOKS: Final = 5
_PAUSE_SECONDS: Final = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """An event of the log, and what became of it."""

    row: Row
    delivered: bool
    """Whether both consumers have its batch."""
    internal_user_id: str
    """The profile that it belongs to now; empty if it belongs to none."""


async def find_event(event_id: str, *, log: EventLog, owners: Owners) -> FoundEvent:
    """The stored event of this id. Raises EventNotFoundError. One indexed read, and one question to identity."""
    key = event_key(event_id)
    row = (await log.read([key])).get(key)
    if row is None:
        raise EventNotFoundError(event_id=event_id)
    if not row.type:
        raise EventNotFoundError(event_id=event_id, expired=True)
    delivered = await _delivered(key, log)
    owner = await owners.owner_of((kind, value) for kind, value in row.identifiers or ())
    return FoundEvent(row=row, delivered=delivered, internal_user_id=owner)


async def _delivered(key: bytes, log: EventLog) -> bool:
    """Whether the event's batch has left the outbox.

    A batch that was just acknowledged leaves it soon: wait a little.
    """
    for _ in range(_LOOKS):
        if not await log.undelivered([key]):
            return True
        await asyncio.sleep(_PAUSE_SECONDS)
    return False
