"""Records observations in the stored graph, inside the caller's transaction, in at most three rounds: look without
locks, decide under stripes, decide under the merge lock. Then saves.

What changes nothing in the graph takes no lock. What does is decided again under the locks that it needs, so that any
number of transactions, in any number of processes, leave what they would have left one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_identity.adapters.graph_store import real_persons
from dmp_identity.adapters.graph_version import read_graph_version
from dmp_identity.decide_plan import AlreadyAttributed, Decision, Observed, decide, look
from dmp_identity.domain.contacts import ContactAnswer
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.locks_needed import LocksNeeded
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.plan import NewMerge, Plan, Refusal
from dmp_identity.domain.snapshot import GraphVersion
from dmp_identity.graph_transaction import GraphMovedError
from dmp_identity.observation_locks import HeldLocks, lock_every, lock_expected, lock_observed, with_merge_lock
from dmp_identity.save_plan import save_plan


@dataclass(slots=True, kw_only=True)
class Recorded:
    """What became of the observations, in their order.

    profiles: the profile of each; 0 if it shows nothing.
    persons: profile -> person.
    learned: what the cache is to be told after the commit.
    contacts: the answer to each request, in order.
    events: domain events, for the caller's outbox.
    locks_needed: which locks this run needed; the next one takes them first.
    merges, refusals: of people, and of evidence, as the plan has them.
    """

    profiles: list[int]
    persons: dict[int, int]
    learned: Learned
    contacts: list[ContactAnswer] = field(default_factory=list)
    events: list[DomainEvent] = field(default_factory=list)
    locks_needed: LocksNeeded = LocksNeeded.NONE
    merges: Sequence[NewMerge] = ()
    refusals: Sequence[Refusal] = ()


async def record_observations(
    connection: psycopg.AsyncConnection[Any],
    parser: IdentifierParser,
    cache: GraphCache,
    observed: Observed,
    expected: LocksNeeded,
) -> Recorded:
    """Records observations in order, as if each was stored before the next one was looked at. Raises GraphMovedError.

    expected: which locks to take at once, instead of looking first whether any is needed. It makes no difference but in
    cost.
    """
    decision = await _decide_in_rounds(connection, parser, cache, observed, expected)
    return await _save(connection, parser.policy, cache, observed, decision)


async def _decide_in_rounds(
    connection: psycopg.AsyncConnection[Any],
    parser: IdentifierParser,
    cache: GraphCache,
    observed: Observed,
    expected: LocksNeeded,
) -> Decision:
    if expected is LocksNeeded.EVERY:
        held = await lock_every(connection)
    elif expected is not LocksNeeded.NONE:
        held = await lock_expected(connection, cache, observed.observations, expected)
    else:
        decision = await look(connection, parser, observed)
        if decision.settled:
            return decision
        held = await lock_observed(
            connection,
            observed.observations,
            decision.snapshot.are_one_person,
            merges=decision.locks_needed is LocksNeeded.MERGES,
        )
    decision = await _decide_under(held, connection, parser, observed)
    if decision.locks_needed is LocksNeeded.MERGES and not held.merges:
        held = await with_merge_lock(connection, held)
        decision = await _decide_under(held, connection, parser, observed)
    return decision


async def _decide_under(
    held: HeldLocks, connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, observed: Observed
) -> Decision:
    decision = await decide(connection, parser, observed)
    if not decision.settled:
        held.check(decision.plan)
    return decision


async def _save(
    connection: psycopg.AsyncConnection[Any],
    policy: IdentifierPolicy,
    cache: GraphCache,
    observed: Observed,
    decision: Decision,
) -> Recorded:
    plan, already = decision.plan, observed.already_attributed
    if already is not None and _contradicts(plan, already):
        raise GraphMovedError
    saved = await save_plan(connection, plan, decision.book, now_us=observed.now_us)
    writer, real = saved.writer, saved.writer.real
    version = decision.snapshot.version
    cache.follow(version)
    links_already = [] if already is None else already.links
    await writer.write_links(cache.links_to_store(plan), links_already)
    await writer.write_pairs(cache.new_pairs(plan))
    await writer.write_refusals()
    persons = real_persons(plan, writer, decision.snapshot.persons)
    is_new_version = bool(plan.absorbed or plan.shared)
    after = await read_graph_version(connection) if is_new_version else version
    learned = _learned(decision, policy, real, persons, after)
    if already is not None:
        links = [*learned.links, *((link.parsed.key, link.profile) for link in links_already)]
        learned = msgspec.structs.replace(learned, links=links)
    return Recorded(
        profiles=[real(profile) for profile in plan.placements],
        persons=persons | _persons_already(already, persons, learned.absorbed),
        learned=learned,
        contacts=[_with_ids(answer, saved.contact_ids) for answer in decision.answers],
        events=saved.events,
        locks_needed=decision.locks_needed,
        merges=plan.merges,
        refusals=plan.refusals,
    )


def _contradicts(plan: Plan, already: AlreadyAttributed) -> bool:
    """True if the plan changes what the cache assumed: values become shared, or people merge or are identified."""
    return bool(plan.shared) or any(person in plan.absorbed or person in plan.identified for person in already.apart)


def _learned(
    decision: Decision,
    policy: IdentifierPolicy,
    real: Callable[[int], int],
    persons: Mapping[int, int],
    after: GraphVersion,
) -> Learned:
    """What the decision teaches, under the ids that are stored."""
    plan, graph = decision.plan, decision.graph
    profiles_with = {
        key: [real(profile) for profile in profiles] for key, profiles in graph.profiles_with.items() if profiles
    }
    return Learned(
        version=decision.snapshot.version,
        after=after,
        owners={
            key: (real(profile), graph.arrivals[key])
            for key, profile in graph.owners.items()
            if key not in graph.shared
        },
        persons=persons,
        absorbed={old: real(new) for old, new in plan.absorbed.items()},
        links=[(key, real(profile)) for key, profile in _links(plan)],
        pairs=list(plan.pairs),
        profiles_with={key: _if_few(policy, key, profiles) for key, profiles in profiles_with.items()},
        anonymous={
            key: real(profile) for key, profile in graph.anonymous.items() if graph.anonymous_profile(key) is not None
        },
        identified={
            real(candidate.person)
            for key, profiles in profiles_with.items()
            if len(profiles) > 1
            for candidate in graph.candidates_for(key)
            if candidate.identified
        },
    )


def _links(plan: Plan) -> Iterator[tuple[Key, int]]:
    """All weak identifiers that profiles have, as far as the plan tells."""
    yield from plan.links_seen
    yield from plan.unchecked_links
    yield from ((link.parsed.key, link.profile) for link in plan.links)


def _if_few(policy: IdentifierPolicy, key: Key, profiles: Sequence[int]) -> Sequence[int]:
    """The profiles that have a weak identifier, none if they are too many for it to attribute."""
    return profiles if len(profiles) <= policy.types[key[0]].max_holders else ()


def _persons_already(
    already: AlreadyAttributed | None, persons: Mapping[int, int], absorbed: Mapping[int, int]
) -> dict[int, int]:
    """The people of the events that the cache attributed: as the snapshot has them, or as they were, after the merges
    of this transaction.
    """
    if already is None:
        return {}
    return {profile: persons.get(profile, absorbed.get(person, person)) for profile, person in already.persons.items()}


def _with_ids(answer: ContactAnswer, ids: dict[int, int]) -> ContactAnswer:
    """The answer with the ids that its new rows got."""
    return ContactAnswer(
        primary_id=ids.get(answer.primary_id, answer.primary_id),
        emails=answer.emails,
        phones=answer.phones,
        secondary_ids=tuple(ids.get(number, number) for number in answer.secondary_ids),
    )
