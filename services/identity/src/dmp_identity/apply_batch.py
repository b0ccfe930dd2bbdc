"""Applies committed batches of events: puts each event on the timeline of the person it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from dmp_chassis.database import Database
from dmp_identity.adapters.batch_store import remember_batches
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_store import write_links
from dmp_identity.adapters.timeline_store import Entries, append_to_timelines
from dmp_identity.attribute_from_cache import attribute_from_cache
from dmp_identity.decide_plan import AlreadyAttributed, Observed
from dmp_identity.domain.event_batch import EventBatch, accepted_at_us, joined
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.locks_needed import LocksNeeded
from dmp_identity.domain.profile_id import public_id
from dmp_identity.graph_transaction import in_graph_transaction
from dmp_identity.know_key_rules import as_stored
from dmp_identity.late_events import kept_events
from dmp_identity.record_observations import Recorded, record_observations


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBatch:
    """What became of a batch.

    already_applied: True if it had been applied before; then the rest is empty.
    internal_user_ids: the people of the batch, the empty text first.
    event_profiles: for each event a position among them.
    transaction: of the first batch of a transaction: how many of its events the cache attributed, and what became of
    those that were recorded.
    """

    already_applied: bool
    internal_user_ids: list[str] = field(default_factory=list)
    event_profiles: list[int] = field(default_factory=list)
    transaction: tuple[int, Recorded | None] | None = None


@dataclass(frozen=True, slots=True)
class _Attributed:
    """Where events of the batch went.

    profiles: of each event, 0 if it has none.
    persons: profile -> person, for these.
    learned: what the cache is to be told after the commit, if anything.
    recorded: what became of the events that were recorded, None if the cache attributed all.
    from_cache: how many events the cache attributed.
    """

    profiles: list[int]
    persons: Mapping[int, int]
    learned: Learned | None
    recorded: Recorded | None
    from_cache: int = 0


class NotJoinableError(Exception):
    """One of several batches has been applied, or was accepted before an erasure: each has to be applied by itself."""


async def apply_batches(
    database: Database,
    parser: IdentifierParser,
    cache: GraphCache,
    batches: Sequence[EventBatch],
    *,
    clock_us: Callable[[], int],
    wake: asyncio.Event,
) -> list[AppliedBatch]:
    """Applies the batches in one transaction, in the order in which they were accepted, or finds that the only one has
    been applied.

    wake: set when domain events are waiting. Raises NotJoinableError.
    """
    attributed = await in_graph_transaction(
        database, lambda connection, every_lock: _apply(connection, parser, cache, batches, clock_us(), every_lock)
    )
    if attributed is None:
        return [AppliedBatch(already_applied=True)]
    if attributed.learned is not None:
        cache.remember(attributed.learned)
    if attributed.recorded is not None:
        cache.expected_locks = attributed.recorded.locks_needed
        if attributed.recorded.events:
            wake.set()
    answers, start = [], 0
    for batch in batches:
        end = start + len(batch.event_ids)
        answers.append(_answer(attributed.profiles[start:end], attributed.persons))
        start = end
    answers[0] = replace(answers[0], transaction=(attributed.from_cache, attributed.recorded))
    return answers


async def _apply(
    connection: psycopg.AsyncConnection[Any],
    parser: IdentifierParser,
    cache: GraphCache,
    batches: Sequence[EventBatch],
    now_us: int,
    every_lock: bool,
) -> _Attributed | None:
    """Applies the batches in the caller's transaction; None if the only one has been applied. With `every_lock` the
    cache is not asked.
    """
    given, accepted_us = joined(batches), accepted_at_us(batches)
    opened = await remember_batches(connection, [batch.batch_id for batch in batches])
    if len(batches) > 1 and (opened is None or opened[0] > min(batch.accepted_at_us for batch in batches)):
        raise NotJoinableError
    if opened is None:
        return None
    last_erasure_us, version = opened
    kept = await kept_events(connection, parser, given, last_erasure_us)
    batch = replace(given, identifiers=await as_stored(connection, parser, given.identifiers))
    already = None
    if not every_lock and cache.follow(version):
        already = await attribute_from_cache(connection, cache, version, batch.identifiers, kept)
    left = kept if already is None else [position for position in kept if position not in already.profiles]
    if left:
        observed = Observed(
            observations=parser.observations(batch, left),
            now_us=now_us,
            created_at_us=[accepted_us[position] for position in left],
            already_attributed=already,
        )
        expected = LocksNeeded.EVERY if every_lock else cache.expected_locks
        recorded = await record_observations(connection, parser, cache, observed, expected)
        await add_domain_events(connection, recorded.events)
        attributed = _with_recorded(batch, already, left, recorded)
    else:
        attributed = await _store_links(connection, batch, already, now_us)
    # The log hands an event over twice only when it was told to: after a restore, or to repair a range.
    entries = _entries(batch, kept, attributed.profiles)
    await append_to_timelines(connection, entries, some_may_be_there=every_lock)
    return attributed


def _with_recorded(
    batch: EventBatch, already: AlreadyAttributed | None, left: Sequence[int], recorded: Recorded
) -> _Attributed:
    """Where all events went, those that the cache attributed and those that were recorded."""
    profiles = _profiles(batch, already)
    for position, profile in zip(left, recorded.profiles, strict=True):
        profiles[position] = profile
    return _Attributed(
        profiles=profiles,
        persons=recorded.persons,
        learned=recorded.learned,
        recorded=recorded,
        from_cache=0 if already is None else len(already.profiles),
    )


async def _store_links(
    connection: psycopg.AsyncConnection[Any], batch: EventBatch, already: AlreadyAttributed | None, now_us: int
) -> _Attributed:
    """Stores all that a batch changes of which the cache attributed every event."""
    if already is None:
        return _Attributed(profiles=_profiles(batch, None), persons={}, learned=None, recorded=None)
    await write_links(connection, [(link.parsed, link.profile) for link in already.links], now_us=now_us)
    links = [(link.parsed.key, link.profile) for link in already.links]
    return _Attributed(
        profiles=_profiles(batch, already),
        persons=already.persons,
        learned=Learned.of_links(already.version, links),
        recorded=None,
        from_cache=len(already.profiles),
    )


def _profiles(batch: EventBatch, already: AlreadyAttributed | None) -> list[int]:
    profiles = [0] * len(batch.event_ids)
    if already is not None:
        for position, profile in already.profiles.items():
            profiles[position] = profile
    return profiles


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


def _answer(profiles: Sequence[int], persons: Mapping[int, int]) -> AppliedBatch:
    people: dict[int, int] = {}
    numbers = {0: 0}
    for profile in dict.fromkeys(profiles):
        if profile:
            numbers[profile] = people.setdefault(persons[profile], len(people) + 1)
    return AppliedBatch(
        already_applied=False,
        internal_user_ids=["", *map(public_id, people)],
        event_profiles=[numbers[profile] for profile in profiles],
    )
