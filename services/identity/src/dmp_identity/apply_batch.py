"""Applies a committed batch of events: puts each on the timeline of the person it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from dmp_chassis.database import Database
from dmp_identity.adapters.batch_store import append_to_timelines, remember_batch
from dmp_identity.adapters.bulk import escaped
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.reading import PolicyReader, Reading, Sighting
from dmp_identity.record_sightings import Recorded, in_graph_transaction, record_sightings


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """A batch as ingest published it, in columns: one entry for each event. `identifiers` has the events' (type,
    value) pairs.
    """

    batch_id: str
    accepted_at_us: int
    event_ids: Sequence[str]
    occurred_at_us: Sequence[int]
    types: Sequence[str]
    sources: Sequence[str]
    readings: Sequence[list[Reading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBatch:
    """internal_user_ids: the people of the batch, the empty text first; event_profiles: for each event a position
    among them.
    """

    already_applied: bool
    internal_user_ids: list[str] = field(default_factory=list)
    event_profiles: list[int] = field(default_factory=list)


async def apply_batch(
    database: Database, reader: PolicyReader, batch: EventBatch, *, clock_us: Callable[[], int], wake: asyncio.Event
) -> AppliedBatch:
    """Applies the batch in one transaction, or finds that it has been applied. `wake`: set when domain events are
    waiting.
    """
    sightings: list[Sighting] = []
    positions: list[int] = []
    for position, readings in enumerate(batch.readings):
        if readings:
            positions.append(position)
            sightings.append(
                reader.sighting(
                    ref=batch.event_ids[position], source=batch.sources[position], cause="event", readings=readings
                )
            )

    async def unit(connection: psycopg.AsyncConnection[Any], every_lock: bool) -> Recorded | None:
        if not await remember_batch(connection, batch.batch_id):
            return None
        recorded = await record_sightings(
            connection,
            reader,
            sightings,
            now_us=clock_us(),
            created_at_us=batch.accepted_at_us,
            every_lock=every_lock,
        )
        await append_to_timelines(
            connection,
            [
                f"{profile}\t{batch.occurred_at_us[n]}\t{escaped(batch.event_ids[n])}\t{escaped(batch.types[n])}\t"
                f"{escaped(batch.sources[n])}"
                for n, profile in zip(positions, recorded.profiles, strict=True)
            ],
        )
        await add_domain_events(connection, recorded.events)
        return recorded

    recorded = await in_graph_transaction(database, unit)
    if recorded is None:
        return AppliedBatch(already_applied=True)
    if recorded.events:
        wake.set()
    return _answer(len(batch.event_ids), positions, recorded)


def _answer(count: int, positions: Sequence[int], recorded: Recorded) -> AppliedBatch:
    dictionary: dict[int, int] = {}
    event_profiles = [0] * count
    for position, profile in zip(positions, recorded.profiles, strict=True):
        person = recorded.persons[profile]
        event_profiles[position] = dictionary.setdefault(person, len(dictionary) + 1)
    return AppliedBatch(
        already_applied=False,
        internal_user_ids=["", *map(public_id, dictionary)],
        event_profiles=event_profiles,
    )
