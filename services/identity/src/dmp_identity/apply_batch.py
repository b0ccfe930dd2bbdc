"""Applies a committed batch of events: puts each on the timeline of the person it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from dmp_chassis.database import Database
from dmp_identity.adapters.batch_store import append_to_timelines, remember_batch
from dmp_identity.adapters.bulk import all_escaped
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.erasure_store import add_late_events, erased_keys
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.reading import PolicyReader, Reading, Sighting
from dmp_identity.record_sightings import GraphMemory, Recorded, in_graph_transaction, record_sightings


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
    database: Database,
    reader: PolicyReader,
    memory: GraphMemory,
    batch: EventBatch,
    *,
    clock_us: Callable[[], int],
    wake: asyncio.Event,
) -> AppliedBatch:
    """Applies the batch in one transaction, or finds that it has been applied. `wake`: set when domain events are
    waiting.
    """
    all_sightings = {
        position: reader.sighting(
            ref=batch.event_ids[position], source=batch.sources[position], cause="event", readings=readings
        )
        for position, readings in enumerate(batch.readings)
        if readings
    }

    async def unit(connection: psycopg.AsyncConnection[Any], every_lock: bool) -> tuple[list[int], Recorded] | None:
        last_erasure_us = await remember_batch(connection, batch.batch_id)
        if last_erasure_us is None:
            return None
        kept = all_sightings
        if last_erasure_us > batch.accepted_at_us:
            kept = await _without_erased(connection, batch, all_sightings)
        positions = list(kept)
        recorded = await record_sightings(
            connection,
            reader,
            memory,
            list(kept.values()),
            now_us=clock_us(),
            created_at_us=batch.accepted_at_us,
            every_lock=every_lock,
        )
        times, event_ids = batch.occurred_at_us, all_escaped(batch.event_ids)
        types, sources = all_escaped(batch.types), all_escaped(batch.sources)
        await append_to_timelines(
            connection,
            [
                f"{profile}\t{times[n]}\t{event_ids[n]}\t{types[n]}\t{sources[n]}"
                for n, profile in zip(positions, recorded.profiles, strict=True)
            ],
            # The log hands an event over twice only when it was told to: after a restore, or to repair a range.
            some_may_be_there=every_lock,
        )
        await add_domain_events(connection, recorded.events)
        return positions, recorded

    applied = await in_graph_transaction(database, unit)
    if applied is None:
        return AppliedBatch(already_applied=True)
    positions, recorded = applied
    memory.remember(recorded)
    if recorded.events:
        wake.set()
    return _answer(len(batch.event_ids), positions, recorded)


async def _without_erased(
    connection: psycopg.AsyncConnection[Any], batch: EventBatch, sightings: dict[int, Sighting]
) -> dict[int, Sighting]:
    """The sightings of people who were not erased after the batch was accepted; the others' events are noted for the
    log.

    An event is theirs if it shows a strong identifier of theirs, or none at all and a weak one of theirs that
    attributes.
    """
    keys = {reading.key for s in sightings.values() for reading in (*s.strong, *s.hints)}
    erased = await erased_keys(connection, list(keys), batch.accepted_at_us)
    late: dict[int, str] = {}
    for position, sighting in sightings.items():
        for reading in sighting.strong or sighting.hints:
            if reading.key in erased:
                late[position] = erased[reading.key]
                break
    await add_late_events(connection, {batch.event_ids[position]: erasure for position, erasure in late.items()})
    return {position: sighting for position, sighting in sightings.items() if position not in late}


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
