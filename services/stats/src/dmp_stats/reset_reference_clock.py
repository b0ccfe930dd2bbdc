"""Resets the clock of the reference table, for an operator.

A table with a `ts` in the future locks out all later ones.
"""

from __future__ import annotations

import asyncio

from dmp_chassis import domain_events
from dmp_chassis.actions import OPERATOR, Asked, record
from dmp_chassis.database import Database, raw
from dmp_chassis.instants import EPOCH
from dmp_stats.adapters import reference_store
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.replace_reference import reference_action, reference_replaced


async def reset_reference_clock(database: Database) -> Generation | None:
    """Gives the table that is in place the `ts` 1970-01-01, as one more version with the same users.

    Returns that version, None if there is no table. Every replica shows it at its next answer; whatever table comes
    next is accepted.
    """
    async with database.begin() as connection:
        await reference_store.lock_writers(connection)
        current = await reference_store.current(connection)
        if current is None:
            return None
        version = Generation(generation=current.generation + 1, base=current.base, ts=EPOCH, users=current.users)
        await reference_store.insert(connection, version, ())
        await record(raw(connection), reference_action("reset_reference_clock", Asked(actor=OPERATOR), version))
        await domain_events.add(connection, [reference_replaced(version)], wake=asyncio.Event())
    return version
