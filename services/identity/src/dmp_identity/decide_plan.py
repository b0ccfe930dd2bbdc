"""Loads what the graph knows about observations, and decides what they change: once without locks, and again under
them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import psycopg

from dmp_identity.adapters.contact_store import load_contact_values, load_contacts
from dmp_identity.adapters.graph_snapshot import add_guard_facts, load_snapshot
from dmp_identity.domain.contacts import ContactAnswer, ContactBook
from dmp_identity.domain.graph import Graph
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identify import ContactRequest, record_request
from dmp_identity.domain.locks_needed import LocksNeeded
from dmp_identity.domain.parsed_identifier import Observation
from dmp_identity.domain.plan import NewLink, Plan
from dmp_identity.domain.resolve_observations import ObservationResolver
from dmp_identity.domain.snapshot import GraphVersion, Snapshot
from dmp_identity.save_plan import contacts_of_merged


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyAttributed:
    """Events that were attributed from the cache, in the same transaction as the observations.

    version: the version of the graph at which the cache answered.
    profiles: event -> profile.
    persons: profile -> person, for the profiles of these events.
    links: the weak identifiers that these profiles get.
    apart: people of whom the answers assume that they stay separate and anonymous. If this transaction changes that, it
    starts again.
    """

    version: GraphVersion
    profiles: Mapping[int, int]
    persons: Mapping[int, int]
    links: Sequence[NewLink]
    apart: Collection[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Observations to record, in order, in one transaction.

    now_us: the time, in microseconds since 1970.
    created_at_us: for each observation, when a profile that it makes counts as created; empty: now.
    requests: for each observation, what its contact request asked for; empty if the observations are events.
    already_attributed: events of the same transaction that the cache attributed.
    """

    observations: Sequence[Observation]
    now_us: int
    created_at_us: Sequence[int] = ()
    requests: Sequence[ContactRequest] = ()
    already_attributed: AlreadyAttributed | None = None

    def in_order(self) -> Iterator[tuple[Observation, int]]:
        """Each observation with the time at which a profile that it makes counts as created."""
        return zip(self.observations, self.created_at_us or repeat(self.now_us), strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What observations change.

    snapshot: what was known. graph: the same after the changes. plan: the changes.
    book: the contacts of people whom the plan or a request changes, None if there are none.
    answers: the answer to each contact request.
    complete: False if the decision stopped at the first observation that needs a lock.
    """

    snapshot: Snapshot
    graph: Graph
    plan: Plan
    book: ContactBook | None
    answers: list[ContactAnswer]
    complete: bool

    @property
    def settled(self) -> bool:
        """True if nothing in the graph or in contacts changes: then no lock is needed."""
        return self.complete and not self.plan.structural and not self._changes_contacts

    @property
    def locks_needed(self) -> LocksNeeded:
        """The locks under which it has to be decided."""
        if self.plan.changes_people or self.plan.shared or self._changes_contacts:
            return LocksNeeded.MERGES
        return LocksNeeded.NONE if self.settled else LocksNeeded.STRIPES

    @property
    def _changes_contacts(self) -> bool:
        return self.book is not None and self.book.has_changes


async def look(connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, observed: Observed) -> Decision:
    """Decides without locks. It stops at the first event that changes the graph: that has to be decided again."""
    snapshot = await _load(connection, observed)
    resolver = ObservationResolver(parser.policy, snapshot, now_us=observed.now_us)
    if observed.requests:
        return await _decide_requests(connection, parser, observed, resolver, snapshot)
    complete = True
    for observation, at_us in observed.in_order():
        resolver.resolve(observation, now_us=at_us)
        if resolver.is_structural:
            complete = False
            break
    return Decision(
        snapshot=snapshot, graph=resolver.graph, plan=resolver.plan(), book=None, answers=[], complete=complete
    )


async def decide(connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, observed: Observed) -> Decision:
    """Decides about all observations; the caller holds their locks."""
    snapshot = await _load(connection, observed)
    await add_guard_facts(connection, snapshot, parser.policy, observed.observations, now_us=observed.now_us)
    resolver = ObservationResolver(parser.policy, snapshot, now_us=observed.now_us)
    if observed.requests:
        return await _decide_requests(connection, parser, observed, resolver, snapshot)
    for observation, at_us in observed.in_order():
        resolver.resolve(observation, now_us=at_us)
    plan, book = resolver.plan(), None
    if plan.merges:
        book = await contacts_of_merged(connection, plan, now_us=observed.now_us, compared=parser.compared)
    return Decision(snapshot=snapshot, graph=resolver.graph, plan=plan, book=book, answers=[], complete=True)


async def _load(connection: psycopg.AsyncConnection[Any], observed: Observed) -> Snapshot:
    snapshot = await load_snapshot(connection, observed.observations)
    already = observed.already_attributed
    if already is not None and already.version != snapshot.version:
        return await load_snapshot(connection, observed.observations, list(already.persons))
    return snapshot


async def _decide_requests(
    connection: psycopg.AsyncConnection[Any],
    parser: IdentifierParser,
    observed: Observed,
    resolver: ObservationResolver,
    snapshot: Snapshot,
) -> Decision:
    people = list(snapshot.people)
    book = ContactBook(
        await load_contacts(connection, people),
        await load_contact_values(connection, people),
        now=datetime.fromtimestamp(observed.now_us / 1e6, UTC),
        compared=parser.compared,
    )
    answers = [
        record_request(resolver, book, observation, request)
        for observation, request in zip(observed.observations, observed.requests, strict=True)
    ]
    return Decision(
        snapshot=snapshot, graph=resolver.graph, plan=resolver.plan(), book=book, answers=answers, complete=True
    )
