"""Takes the locks that recording observations needs.

Each identifier has one of 256 stripes (`adapters/graph_locks.py`). Whoever makes an identifier known, or counts what it
came with, holds its stripe: two transactions that do so at once would not see each other's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from dmp_identity.adapters.graph_locks import lock_merges, lock_stripes, stripe, stripes
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.locks_needed import LocksNeeded
from dmp_identity.domain.parsed_identifier import Key, Observation
from dmp_identity.domain.plan import Plan
from dmp_identity.graph_transaction import GraphMovedError

_EVERY_STRIPE: Final = frozenset(range(256))
# So many identifiers leave no stripe out, as good as surely: then it is not worth looking at each.
_MOST_OF_EVERY_STRIPE: Final = 2048
_OnePerson = Callable[[Iterable[Key]], bool]


@dataclass(frozen=True, slots=True)
class HeldLocks:
    """The locks that the transaction holds to its end."""

    stripes: frozenset[int]
    merges: bool

    def check(self, plan: Plan) -> None:
        """Raises GraphMovedError if the plan changes an identifier whose stripe is not held. Then others have changed
        the graph since the stripes were chosen. Stripes are taken in ascending order, so one more cannot be taken
        now: the transaction has to begin again.
        """
        if self.stripes != _EVERY_STRIPE and not stripes(_changed_keys(plan)) <= self.stripes:
            raise GraphMovedError


async def lock_every(connection: psycopg.AsyncConnection[Any]) -> HeldLocks:
    """Takes all stripes and the merge lock."""
    return await _lock(connection, _EVERY_STRIPE, merges=True)


async def lock_expected(
    connection: psycopg.AsyncConnection[Any],
    cache: GraphCache,
    observations: Sequence[Observation],
    expected: LocksNeeded,
) -> HeldLocks:
    """Takes locks without looking at the database first: the stripes of all identifiers that the cache does not know as
    one person's, and the merge lock if it is expected.

    It takes every stripe if there are so many identifiers that hardly one would be left out.
    """
    if sum(len(observation.strong) for observation in observations) > _MOST_OF_EVERY_STRIPE:
        wanted = _EVERY_STRIPE
    else:
        wanted = _stripes_for(observations, cache.are_one_person)
    return await _lock(connection, wanted, merges=expected is LocksNeeded.MERGES)


async def lock_observed(
    connection: psycopg.AsyncConnection[Any],
    observations: Sequence[Observation],
    are_one_person: _OnePerson,
    *,
    merges: bool,
) -> HeldLocks:
    """Takes the stripes of all identifiers that the observations may change, then the merge lock if `merges`.

    are_one_person: True if all of these identifiers are known and one person's; then their stripes are not needed.
    """
    return await _lock(connection, _stripes_for(observations, are_one_person), merges=merges)


async def with_merge_lock(connection: psycopg.AsyncConnection[Any], held: HeldLocks) -> HeldLocks:
    """Takes the merge lock after stripes."""
    await lock_merges(connection)
    return HeldLocks(held.stripes, merges=True)


async def _lock(connection: psycopg.AsyncConnection[Any], wanted: frozenset[int], *, merges: bool) -> HeldLocks:
    await lock_stripes(connection, wanted, merge=merges)
    return HeldLocks(wanted, merges)


def _stripes_for(observations: Sequence[Observation], are_one_person: _OnePerson) -> frozenset[int]:
    """The stripes of everything that any observation could make known, and of what it could be joined with."""
    numbers: set[int] = set()
    for observation in observations:
        if not are_one_person(parsed.key for parsed in observation.strong):
            numbers.update(stripe(parsed.key) for parsed in observation.strong)
        for parsed in (*observation.weak, *observation.refused):
            numbers.add(stripe(parsed.key))
    return frozenset(numbers)


def _changed_keys(plan: Plan) -> Iterator[Key]:
    for new in plan.identifiers:
        yield new.parsed.key
        if new.via is not None:
            yield new.via
    for merge in plan.merges:
        for edge in merge.edges:
            yield from (key for key in (edge.key_a, edge.key_b) if key is not None)
    yield from (link.parsed.key for link in plan.links)
    yield from plan.anonymous
