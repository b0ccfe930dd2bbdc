"""Reads one event from the log."""

from __future__ import annotations

from dmp_ingest.adapters.event_log import EventLog, Row
from dmp_ingest.domain.errors import EventNotFoundError
from dmp_ingest.domain.event_key import event_key


async def find_event(event_id: str, *, log: EventLog) -> Row:
    """The stored event of this id. Raises EventNotFoundError. One indexed read."""
    key = event_key(event_id)
    row = (await log.read([key])).get(key)
    if row is None:
        raise EventNotFoundError(event_id=event_id)
    return row
