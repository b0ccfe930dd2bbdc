"""Counts timeline entries by minute, for an audit that compares them with the event log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dmp_chassis.database import Database, raw
from dmp_identity.adapters.timeline_counts import EntryCount, counts_by_minute


async def count_entries(database: Database, *, first: int, last: int) -> AsyncIterator[list[EntryCount]]:
    """The minutes from `first` to `last`, both included, that have entries: in order, in parts, as of one instant.

    Reads every timeline entry there is: it is for audits, not for the request path.
    """
    async with database.read() as transaction:
        async for part in counts_by_minute(raw(transaction), first=first, last=last):
            yield part
