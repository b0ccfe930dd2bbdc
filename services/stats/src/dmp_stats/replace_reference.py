"""Puts a new version of the reference table in place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dmp_chassis import domain_events
from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database, raw
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.instants import format_instant
from dmp_stats.adapters import reference_store
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.domain.errors import StaleReferenceError
from dmp_stats.domain.reference_limits import check_size
from dmp_stats.live_window import LiveWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTable:
    """A whole table, or a change of one."""

    ts: datetime
    """When it was made, by the clock of its source."""
    payloads: Sequence[bytes]
    """Its users as stored chunks. If a user comes twice, the last one counts."""
    users: int
    """How many users the chunks have."""
    names: frozenset[str]
    """The attribute names that the chunks mention."""


async def replace_reference(
    table: ReferenceTable, database: Database, window: LiveWindow, *, asked: Asked, wake: asyncio.Event
) -> Generation:
    """Replaces the table in one transaction: readers see the old or the new one. Writers take turns.

    Raises StaleReferenceError if the current table has a newer `ts`, InvalidArgument if it would be too wide.
    `wake` wakes the publisher of domain events.
    """
    check_size(users=table.users, names=len(table.names))
    number = 0
    async with window.writing:
        try:
            async with database.begin() as connection:
                await reference_store.lock_writers(connection)
                current = await reference_store.current(connection)
                check_not_stale(table.ts, current)
                number = 1 if current is None else current.generation + 1
                snapshot = await window.prepare(number, table.payloads, is_change=False)
                version = Generation(generation=number, base=number, ts=table.ts, users=snapshot.users())
                await reference_store.insert(connection, version, table.payloads)
                await reference_store.forget_before(connection, generation=number, base=number)
                await record(raw(connection), reference_action("replace_reference", asked, version))
                await domain_events.add(connection, [reference_replaced(version)], wake=wake)
        except BaseException:
            window.abandon(number)
            raise
    return version


def check_not_stale(ts: datetime, current: Generation | None) -> None:
    """Raises StaleReferenceError if the current version has a newer `ts`."""
    if current is not None and ts < current.ts:
        raise StaleReferenceError(current_ts=current.ts, generation=current.generation)


def reference_replaced(version: Generation) -> DomainEvent:
    """The domain event that says that a version is in place."""
    return DomainEvent(
        kind="ReferenceReplaced",
        payload={"generation": version.generation, "ts": format_instant(version.ts), "users": version.users},
    )


def reference_action(kind: str, asked: Asked, version: Generation) -> Action:
    """The act that put a version in place."""
    return Action(
        kind=kind,
        actor=asked.actor,
        result="done",
        refs={"generation": str(version.generation), "ts": format_instant(version.ts)},
        counts={"users": version.users},
    )
