"""Applies a committed batch of events: puts each on the timeline of the person it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from dmp_chassis.database import Database
from dmp_identity.adapters.batch_store import Entries, append_to_timelines, remember_batch
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.erasure_digests import erased_keys
from dmp_identity.adapters.erasure_events import add_late_events
from dmp_identity.adapters.graph_check import changed_keys
from dmp_identity.adapters.graph_store import write_links
from dmp_identity.domain.cached_attribution import CachedAttribution
from dmp_identity.domain.graph_cache import GraphCache, Learned
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.parsed_identifier import Observation, ParsedIdentifier
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.snapshot import GraphVersion
from dmp_identity.graph_transaction import in_graph_transaction
from dmp_identity.know_key_rules import as_stored
from dmp_identity.record_observations import AlreadyAttributed, Recorded, record_observations


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
    identifiers: Sequence[list[ParsedIdentifier]]


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
    parser: IdentifierParser,
    cache: GraphCache,
    given: EventBatch,
    *,
    clock_us: Callable[[], int],
    wake: asyncio.Event,
) -> AppliedBatch:
    """Applies the batch in one transaction, or finds that it has been applied. `wake`: set when domain events are
    waiting.
    """
    showing = [position for position, identifiers in enumerate(given.identifiers) if identifiers]

    async def unit(connection: psycopg.AsyncConnection[Any], every_lock: bool) -> _Applied | None:
        opened = await remember_batch(connection, given.batch_id)
        if opened is None:
            return None
        last_erasure_us, version = opened
        kept = showing
        if last_erasure_us > given.accepted_at_us:
            kept = await _without_erased(connection, given, _observations(parser, given, showing))
        batch = replace(given, identifiers=await as_stored(connection, parser, given.identifiers))
        applied = _Applied(profiles=[0] * len(batch.event_ids))
        rest, already_attributed = kept, None
        # When something is to be decided with every lock, nothing is taken for granted.
        if not every_lock and cache.follow(version):
            rest, already_attributed = await _place(connection, cache, version, batch, kept, applied)
        if rest:
            applied.recorded = recorded = await record_observations(
                connection,
                parser,
                cache,
                list(_observations(parser, batch, rest).values()),
                now_us=clock_us(),
                created_at_us=batch.accepted_at_us,
                already_attributed=already_attributed,
                every_lock=every_lock,
                expected=cache.expected,
            )
            applied.persons, applied.learned = recorded.persons, recorded.learned
            for position, profile in zip(rest, recorded.profiles, strict=True):
                applied.profiles[position] = profile
            await add_domain_events(connection, recorded.events)
        elif already_attributed is not None:
            places = [(link.parsed, link.profile) for link in already_attributed.links]
            await write_links(connection, places, now_us=clock_us())
            applied.learned = Learned.of_links(version, [(parsed.key, profile) for parsed, profile in places])
        # The log hands an event over twice only when it was told to: after a restore, or to repair a range.
        await append_to_timelines(connection, _entries(batch, kept, applied.profiles), some_may_be_there=every_lock)
        return applied

    applied = await in_graph_transaction(database, unit)
    if applied is None:
        return AppliedBatch(already_applied=True)
    recorded = applied.recorded
    if applied.learned is not None:
        cache.remember(applied.learned)
    if recorded is not None:
        cache.expected = recorded.changed
        if recorded.events:
            wake.set()
    return _answer(applied)


@dataclass(slots=True)
class _Applied:
    """profiles: of each event, 0 if it has none. persons: profile -> person, for these."""

    profiles: list[int]
    persons: Mapping[int, int] = field(default_factory=dict)
    recorded: Recorded | None = None
    learned: Learned | None = None


async def _place(
    connection: psycopg.AsyncConnection[Any],
    cache: GraphCache,
    version: GraphVersion,
    batch: EventBatch,
    positions: Sequence[int],
    applied: _Applied,
) -> tuple[list[int], AlreadyAttributed | None]:
    """Attributes what the cache can, as far as the database does not say otherwise, and notes it in `applied`. Returns
    the events that are left, and what the cache attributed, None if nothing.
    """
    cached_attribution = CachedAttribution(cache, batch.identifiers, positions)
    if cached_attribution.assumptions.events:
        cached_attribution.withdraw(await changed_keys(connection, cached_attribution.assumptions, version))
    for position, profile in cached_attribution.placed.items():
        applied.profiles[position] = profile.id
    applied.persons = cached_attribution.persons
    if not cached_attribution.placed:
        return sorted(cached_attribution.unplaced), None
    already_attributed = AlreadyAttributed(
        version=version,
        persons=cached_attribution.persons,
        links=cached_attribution.links(),
        apart=cached_attribution.assumptions.apart,
    )
    return sorted(cached_attribution.unplaced), already_attributed


def _observations(parser: IdentifierParser, batch: EventBatch, positions: Iterable[int]) -> dict[int, Observation]:
    return {
        position: parser.observation(
            ref=batch.event_ids[position],
            source=batch.sources[position],
            cause="event",
            identifiers=batch.identifiers[position],
        )
        for position in positions
    }


def _entries(batch: EventBatch, positions: Sequence[int], profiles: Sequence[int]) -> Entries:
    # By profile, as the index has them: that costs PostgreSQL a tenth less.
    ordered = sorted(positions, key=profiles.__getitem__)
    return Entries(
        profile_ids=[profiles[n] for n in ordered],
        occurred_at_us=[batch.occurred_at_us[n] for n in ordered],
        event_ids=[batch.event_ids[n] for n in ordered],
        types=[batch.types[n] for n in ordered],
        sources=[batch.sources[n] for n in ordered],
    )


async def _without_erased(
    connection: psycopg.AsyncConnection[Any], batch: EventBatch, observations: dict[int, Observation]
) -> list[int]:
    """The events of people who were not erased after the batch was accepted; the others are noted for the log.

    An event is theirs if it shows a strong identifier of theirs, or none at all and a weak one of theirs that
    attributes.
    """
    keys = {key for s in observations.values() for parsed in (*s.strong, *s.weak) for key in parsed.all_keys()}
    erased = await erased_keys(connection, list(keys), batch.accepted_at_us)
    late: dict[int, str] = {}
    for position, observation in observations.items():
        found = [key for parsed in observation.strong or observation.weak for key in parsed.all_keys() if key in erased]
        if found:
            late[position] = erased[found[0]]
    await add_late_events(connection, {batch.event_ids[position]: erasure for position, erasure in late.items()})
    return [position for position in observations if position not in late]


def _answer(applied: _Applied) -> AppliedBatch:
    people: dict[int, int] = {}
    numbers = {0: 0}
    for profile in dict.fromkeys(applied.profiles):
        if profile:
            numbers[profile] = people.setdefault(applied.persons[profile], len(people) + 1)
    return AppliedBatch(
        already_applied=False,
        internal_user_ids=["", *map(public_id, people)],
        event_profiles=[numbers[profile] for profile in applied.profiles],
    )
