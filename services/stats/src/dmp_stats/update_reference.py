"""Changes some users of the reference table and leaves the others."""

from __future__ import annotations

import asyncio
from typing import Final

from dmp_chassis import domain_events
from dmp_chassis.actions import Asked, record
from dmp_chassis.database import Database, raw
from dmp_stats.adapters import reference_store
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.domain.reference_limits import check_size
from dmp_stats.live_window import LiveWindow
from dmp_stats.replace_reference import ReferenceTable, check_not_stale, reference_action, reference_replaced

_MOST_CHANGES: Final = 50
"""Changes that are kept on top of a whole table; the next one writes the table anew."""


async def update_reference(
    change: ReferenceTable, database: Database, window: LiveWindow, *, asked: Asked, wake: asyncio.Event
) -> Generation:
    """Puts the next version in place, in one transaction: the current version with the change.

    Raises StaleReferenceError, or InvalidArgument if the table might become too wide. It costs about the size of
    the change; every fiftieth change costs the size of the table.
    """
    number = 0
    async with window.writing:
        try:
            async with database.begin() as connection:
                await reference_store.lock_writers(connection)
                current = await reference_store.current(connection)
                check_not_stale(change.ts, current)
                number = 1 if current is None else current.generation + 1
                # Nobody else can commit a version now: what is current stays so.
                await window.refresh()
                users = change.users + (0 if current is None else current.users)
                check_size(users=users, names=len(change.names | window.snapshot.used_names()))
                snapshot = await window.prepare(number, change.payloads, is_change=True)
                base, payloads = number, change.payloads
                if current is not None and await reference_store.patches(connection, current.base) < _MOST_CHANGES:
                    base = current.base
                elif current is not None:
                    payloads = await window.whole_table(snapshot)
                version = Generation(generation=number, base=base, ts=change.ts, users=snapshot.users())
                await reference_store.insert(connection, version, payloads)
                await reference_store.forget_before(connection, generation=base, base=base)
                await record(raw(connection), reference_action("update_reference", asked, version))
                await domain_events.add(connection, [reference_replaced(version)], wake=wake)
        except BaseException:
            window.abandon(number)
            raise
    return version
