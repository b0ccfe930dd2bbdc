"""Forgets users: they leave the reference table, and the window counts their events as those of unknown users."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dmp_chassis import domain_events
from dmp_chassis.database import Database
from dmp_stats.adapters import forgotten_store, reference_store
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.domain.reference import pack_chunk
from dmp_stats.live_window import LiveWindow
from dmp_stats.replace_reference import reference_replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgot:
    """What was changed to forget some users."""

    batches: int
    """How many stored batches of the window had these users."""
    generation: int
    """The new version of the reference table; 0 if the table had none of them."""


async def forget_users(
    user_ids: Sequence[str], database: Database, window: LiveWindow, *, wake: asyncio.Event
) -> Forgot:
    """Forgets users in one transaction: in the reference table and in the stored window. Replicas follow at their next
    look.

    If the table has one of the users, or consists of a whole table and changes, it is written anew as a whole, so that
    no older piece of it stays. That, and a pass over the stored window, is what it costs.
    """
    number = 0
    async with window.writing:
        try:
            async with database.begin() as connection:
                await reference_store.lock_writers(connection)
                batches = await forgotten_store.forget(connection, user_ids)
                await window.refresh()
                current = await reference_store.current(connection)
                known = [user_id for user_id in user_ids if window.knows(user_id)]
                if current is None or (not known and current.base == current.generation):
                    return Forgot(batches=batches, generation=0)
                number = current.generation + 1
                change = pack_chunk({}, is_change=True, removed=known)
                snapshot = await window.prepare(number, [change], is_change=True)
                version = Generation(generation=number, base=number, ts=current.ts, users=snapshot.users())
                await reference_store.insert(connection, version, await window.whole_table(snapshot))
                await reference_store.forget_before(connection, generation=number, base=number)
                await domain_events.add(connection, [reference_replaced(version)], wake=wake)
        except BaseException:
            window.abandon(number)
            raise
    return Forgot(batches=batches, generation=number)
