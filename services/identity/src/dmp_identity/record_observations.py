"""Applies observations to the stored graph inside the caller's transaction: load, decide, lock, save.

What changes nothing in the graph takes no lock. What does is decided again under the locks that it needs, so that any
number of transactions, in any number of processes, leave what they would have left one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_identity.adapters.contact_store import load_contact_values, load_contacts
from dmp_identity.adapters.graph_locks import lock_merges, lock_stripes, stripe, stripes
from dmp_identity.adapters.graph_snapshot import add_guard_facts, load_snapshot
from dmp_identity.adapters.graph_store import real_persons
from dmp_identity.adapters.graph_version import read_graph_version
from dmp_identity.domain.contacts import ContactAnswer, ContactBook, ContactRow, KnownValue
from dmp_identity.domain.graph import Graph
from dmp_identity.domain.graph_cache import Expected, GraphCache, Learned
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identify import ContactRequest, record_request
from dmp_identity.domain.parsed_identifier import Key, Observation
from dmp_identity.domain.plan import NewLink, Plan
from dmp_identity.domain.resolve_observations import ObservationResolver
from dmp_identity.domain.snapshot import GraphVersion, Snapshot
from dmp_identity.graph_transaction import GraphMovedError
from dmp_identity.save_plan import contacts_of_merged, save_plan

_Result = TypeVar("_Result")
_EVERY_STRIPE: Final = frozenset(range(256))
# So many identifiers leave no stripe out, as good as surely: then it is not worth looking at each.
_MOST_OF_EVERY_STRIPE: Final = 2048
_UNIQUE_VIOLATION: Final = "23505"
_EVENT_SIZE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyAttributed:
    """Events that were attributed from the cache, in the same transaction as the observations.

    version: the version of the graph at which the cache answered.
    persons: profile -> person, for the profiles of these events.
    links: the weak identifiers that these profiles get.
    apart: people of whom the answers assume that they stay separate and anonymous. If this transaction changes that, it
    starts again.
    """

    version: GraphVersion
    persons: Mapping[int, int]
    links: Sequence[NewLink]
    apart: Collection[int]


@dataclass(slots=True, kw_only=True)
class Recorded:
    """What became of the observations, in their order.

    profiles: the profile of each; 0 if it shows nothing.
    persons: profile -> person.
    learned: what the cache is to be told after the commit.
    contacts: the answer to each request, in order.
    events: domain events, for the caller's outbox.
    changed: which locks this run needed; the next one takes them first.
    """

    profiles: list[int]
    persons: dict[int, int]
    learned: Learned
    contacts: list[ContactAnswer] = field(default_factory=list)
    events: list[DomainEvent] = field(default_factory=list)
    changed: Expected = Expected.NOTHING


@dataclass(slots=True)
class _Decision:
    snapshot: Snapshot
    graph: Graph
    plan: Plan
    book: ContactBook | None
    answers: list[ContactAnswer]
    complete: bool

    @property
    def settled(self) -> bool:
        return self.complete and not self.plan.structural and (self.book is None or not self.book.has_changes)

    @property
    def changes(self) -> Expected:
        if self.needs_merge_lock:
            return Expected.PEOPLE
        return Expected.NOTHING if self.settled else Expected.IDENTIFIERS

    @property
    def needs_merge_lock(self) -> bool:
        return self.plan.changes_people or bool(self.plan.shared) or (self.book is not None and self.book.has_changes)


async def record_observations(
    connection: psycopg.AsyncConnection[Any],
    parser: IdentifierParser,
    cache: GraphCache,
    observations: Sequence[Observation],
    *,
    now_us: int,
    created_at_us: int | None = None,
    requests: Sequence[ContactRequest] = (),
    already_attributed: AlreadyAttributed | None = None,
    every_lock: bool = False,
    expected: Expected = Expected.NOTHING,
) -> Recorded:
    """Records observations in order, as if each was stored before the next one was looked at.

    created_at_us: when profiles made here count as created, default now. requests: for each observation, what its
    contact request asked for; empty if the observations are events. already_attributed: events of the same transaction
    that the cache attributed; their people are told, too. Raises GraphMovedError.

    expected: which locks to take at once instead of looking first whether any is needed. It makes no difference but in
    cost.
    """
    step = _Step(
        connection,
        parser,
        cache,
        observations,
        now_us,
        now_us if created_at_us is None else created_at_us,
        requests,
        already_attributed,
    )
    held: frozenset[int] | None = None
    merge_held = False
    if every_lock:
        held, merge_held = _EVERY_STRIPE, True
        await lock_stripes(connection, held, merge=True)
    elif expected is not Expected.NOTHING:
        held, merge_held = step.stripes_expected(), expected is Expected.PEOPLE
        await lock_stripes(connection, held, merge=merge_held)
    while True:
        decision = await step.decide(locked=held is not None)
        if decision.settled:
            break
        if held is None:
            held, merge_held = step.stripes_for(decision.snapshot.are_one_person), decision.needs_merge_lock
            await lock_stripes(connection, held, merge=merge_held)
            continue
        if held != _EVERY_STRIPE and not stripes(_changed_keys(decision.plan)) <= held:
            raise GraphMovedError
        if merge_held or not decision.needs_merge_lock:
            break
        merge_held = True
        await lock_merges(connection)
    return await step.save(decision)


class _Step:
    """One unit of recording: what the rounds of `record_sightings` have in common."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        parser: IdentifierParser,
        cache: GraphCache,
        observations: Sequence[Observation],
        now_us: int,
        created_at_us: int,
        requests: Sequence[ContactRequest],
        already_attributed: AlreadyAttributed | None,
    ) -> None:
        self._connection = connection
        self._parser = parser
        self._cache = cache
        self._observations = observations
        self._now_us = now_us
        self._created_at_us = created_at_us
        self._requests = requests
        self._already_attributed = already_attributed

    async def decide(self, *, locked: bool) -> _Decision:
        """Loads and resolves. Without locks it stops at the first observation that changes the graph."""
        policy = self._parser.policy
        snapshot = await load_snapshot(self._connection, self._observations)
        if self._already_attributed is not None and self._already_attributed.version != snapshot.version:
            snapshot = await load_snapshot(self._connection, self._observations, list(self._already_attributed.persons))
        if locked:
            await add_guard_facts(self._connection, snapshot, policy, self._observations, now_us=self._now_us)
        resolver = ObservationResolver(policy, snapshot, now_us=self._created_at_us)
        if self._requests:
            return await self._decide_requests(resolver, snapshot)
        complete = True
        for observation in self._observations:
            resolver.resolve(observation)
            if not locked and resolver.is_structural:
                complete = False
                break
        plan = resolver.plan()
        book = None
        if locked and plan.merges:
            book = await contacts_of_merged(self._connection, plan, now_us=self._now_us, compared=self._parser.compared)
        return _Decision(snapshot, resolver.graph, plan, book, [], complete)

    async def _decide_requests(self, resolver: ObservationResolver, snapshot: Snapshot) -> _Decision:
        people = list(snapshot.people)
        book = self._book(
            await load_contacts(self._connection, people), await load_contact_values(self._connection, people)
        )
        answers = [
            record_request(resolver, book, observation, request)
            for observation, request in zip(self._observations, self._requests, strict=True)
        ]
        return _Decision(snapshot, resolver.graph, resolver.plan(), book, answers, True)

    def _book(self, rows: Mapping[int, Iterable[ContactRow]], known: Mapping[int, Iterable[KnownValue]]) -> ContactBook:
        now = datetime.fromtimestamp(self._now_us / 1e6, UTC)
        return ContactBook(rows, known, now=now, compared=self._parser.compared)

    def stripes_expected(self) -> frozenset[int]:
        """The stripes of everything that is not remembered as one person's; all, where there is that much."""
        if sum(len(observation.strong) for observation in self._observations) > _MOST_OF_EVERY_STRIPE:
            return _EVERY_STRIPE
        return self.stripes_for(self._cache.are_one_person)

    def stripes_for(self, are_one_person: Callable[[Iterable[Key]], bool]) -> frozenset[int]:
        """The stripes of everything that any observation could make known, and of what it could be joined with: of each
        identifier one transaction at a time counts how many values came with it.
        """
        numbers: set[int] = set()
        for observation in self._observations:
            if not are_one_person(parsed.key for parsed in observation.strong):
                numbers.update(stripe(parsed.key) for parsed in observation.strong)
            for parsed in (*observation.weak, *observation.refused):
                numbers.add(stripe(parsed.key))
        return frozenset(numbers)

    async def save(self, decision: _Decision) -> Recorded:
        """Writes the plan and the contacts."""
        plan, connection = decision.plan, self._connection
        if self._already_attributed is not None and (
            plan.shared
            or any(person in plan.absorbed or person in plan.identified for person in self._already_attributed.apart)
        ):
            # One of these values or people may have placed what was not looked at here.
            raise GraphMovedError
        saved = await save_plan(connection, plan, decision.book, now_us=self._now_us)
        writer = saved.writer
        version = decision.snapshot.version
        self._cache.follow(version)
        already_attributed = [] if self._already_attributed is None else self._already_attributed.links
        await writer.write_links(self._cache.links_to_store(plan), already_attributed)
        await writer.write_pairs(self._cache.new_pairs(plan))
        await writer.write_refusals()
        persons = real_persons(plan, writer, decision.snapshot.persons)
        absorbed = {old: writer.real(new) for old, new in plan.absorbed.items()}
        changed = bool(plan.absorbed or plan.shared)
        return Recorded(
            profiles=[writer.real(profile) for profile in plan.placements],
            persons=persons | self._persons_attributed_before(persons, absorbed),
            contacts=[_with_ids(answer, saved.contact_ids) for answer in decision.answers],
            events=saved.events,
            changed=decision.changes,
            learned=Learned(
                version=version,
                after=await read_graph_version(connection) if changed else version,
                owners={
                    key: (writer.real(profile), decision.graph.arrivals[key])
                    for key, profile in decision.graph.owners.items()
                    if key not in decision.graph.shared
                },
                persons=persons,
                absorbed=absorbed,
                links=[
                    *((key, writer.real(profile)) for key, profile in _links(plan)),
                    *((link.parsed.key, link.profile) for link in already_attributed),
                ],
                pairs=list(plan.pairs),
                profiles_with={
                    key: self._attributed_by(key, [writer.real(profile) for profile in profiles_with])
                    for key, profiles_with in decision.graph.profiles_with.items()
                    if profiles_with
                },
                anonymous={
                    key: writer.real(profile)
                    for key, profile in decision.graph.anonymous.items()
                    if decision.graph.anonymous_profile(key) is not None
                },
                identified={
                    writer.real(candidate.person)
                    for key, profiles_with in decision.graph.profiles_with.items()
                    if len(profiles_with) > 1
                    for candidate in decision.graph.candidates_for(key)
                    if candidate.identified
                },
            ),
        )

    def _attributed_by(self, key: Key, profiles_with: list[int]) -> Sequence[int]:
        """The profiles that have a weak identifier, none if they are too many for it to attribute."""
        return profiles_with if len(profiles_with) <= self._parser.policy.types[key[0]].max_holders else ()

    def _persons_attributed_before(self, persons: Mapping[int, int], absorbed: Mapping[int, int]) -> dict[int, int]:
        """The people of the events that the cache attributed: as the snapshot has them, or as they were, after the
        merges of this transaction.
        """
        if self._already_attributed is None:
            return {}
        return {
            profile: persons.get(profile, absorbed.get(person, person))
            for profile, person in self._already_attributed.persons.items()
        }


def _links(plan: Plan) -> Iterator[tuple[Key, int]]:
    """All weak identifiers that profiles have, as far as the plan tells."""
    yield from plan.links_seen
    yield from plan.unchecked_links
    yield from ((link.parsed.key, link.profile) for link in plan.links)


def _changed_keys(plan: Plan) -> Iterable[Key]:
    for new in plan.identifiers:
        yield new.parsed.key
        if new.via is not None:
            yield new.via
    for merge in plan.merges:
        for edge in merge.edges:
            yield from (key for key in (edge.key_a, edge.key_b) if key is not None)
    yield from (link.parsed.key for link in plan.links)
    yield from plan.anonymous


def _with_ids(answer: ContactAnswer, ids: dict[int, int]) -> ContactAnswer:
    """The answer with the ids that its new rows got."""
    return ContactAnswer(
        primary_id=ids.get(answer.primary_id, answer.primary_id),
        emails=answer.emails,
        phones=answer.phones,
        secondary_ids=tuple(ids.get(number, number) for number in answer.secondary_ids),
    )
