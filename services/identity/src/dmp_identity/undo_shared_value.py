"""Lists values that many people share, and takes back everything that was joined through one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from dmp_chassis.actions import MOST_SUBJECTS, Action, Asked, record
from dmp_chassis.database import Database, raw
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.instants import instant_from_us
from dmp_chassis.page_token import position_of, token_of
from dmp_chassis.violations import InvalidArgument
from dmp_identity.adapters import explanation_reads as reads
from dmp_identity.adapters import separation_store as store
from dmp_identity.adapters import undo_store
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_locks import lock_stripes, stripe
from dmp_identity.adapters.profile_reads import find_profiles, members_of
from dmp_identity.adapters.separation_store import SharedValue
from dmp_identity.detach_identifier import read_strong
from dmp_identity.domain.errors import NoMatchError
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import page_size_violations, token_violation
from dmp_identity.domain.separation import parts_without
from dmp_identity.graph_transaction import in_graph_transaction
from dmp_identity.know_key_rules import one_as_stored
from dmp_identity.undo_merge import regroup_people

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
_MOST_MERGES: Final = 1000
_MOST_IDENTIFIERS: Final = 20_000
_LAST: Final = (2**63 - 1, "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatedPeople:
    """key: the value as it is compared. merge_ids: what was undone. detached: identifiers that got other profiles.
    people: who was joined through the value, the oldest first.
    """

    key: Key
    merge_ids: list[str]
    detached: int
    people: list[int]


async def list_shared_values(database: Database, *, page_size: int, page_token: str) -> tuple[list[SharedValue], str]:
    """A page of values, the last shared first, and the token of the next page. Raises InvalidArgument."""
    problems = page_size_violations(page_size)
    position = _position(page_token) if page_token else _LAST
    if position is None:
        problems.append(token_violation())
    if problems or position is None:
        raise InvalidArgument(problems)
    limit = min(page_size or _DEFAULT_PAGE, _LARGEST_PAGE)
    async with database.read() as transaction:
        found = await store.shared_values(raw(transaction), position, limit + 1)
    if len(found) <= limit:
        return found, ""
    last = found[limit - 1]
    return found[:limit], token_of((last.shared_at_us, last.type, last.value))


async def undo_shared_value(
    database: Database,
    parser: IdentifierParser,
    key_text: tuple[str, str],
    *,
    asked: Asked,
    clock_us: Callable[[], int],
    wake: asyncio.Event,
) -> SeparatedPeople:
    """Undoes all merges that a value made, and gives what it brought to its profile profiles of its own.

    From then on the value matches nobody. Nobody is kept apart: other evidence may still join them. At most 1000 merges
    at once, the last ones first. Raises InvalidArgument, NoMatchError.
    """
    parsed = read_strong(parser, *key_text, asked.reason)
    strengths = {name: kind.strong for name, kind in parser.policy.types.items()}

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> SeparatedPeople:
        key = (await one_as_stored(connection, parser, parsed)).key
        await lock_stripes(connection, [stripe(key)], merge=True)
        found = await store.find_identifier(connection, key)
        if found is None:
            raise NoMatchError(key[0])
        now_us = clock_us()
        await store.share_value(connection, key, now_us)
        merge_ids = await store.merges_through(connection, key, _MOST_MERGES)
        # The value may have been detached since: then its merges are other people's.
        joined = [found.root, *await store.people_of_merges(connection, merge_ids)]
        members = [profile for root in dict.fromkeys(joined) for profile in await members_of(connection, root)]
        for merge_id in merge_ids:
            await undo_store.mark_undone(connection, merge_id, asked.reason, now_us)
        arrivals = await reads.arrivals_at(connection, [found.profile], strengths, _MOST_IDENTIFIERS)
        pairs = await reads.pairs_among(connection, [seen.key for seen in arrivals])
        parts = parts_without(key, arrivals, [(link.a, link.b) for link in pairs])[1:]
        made = await store.move_to_new_profiles(connection, parts, now_us) if parts else []
        everybody = [*members, *made]
        if merge_ids or made:
            await regroup_people(connection, everybody, undone=set(merge_ids), now_us=now_us, compared=parser.compared)
        roots = {p.root: p.root_created_at_us for p in (await find_profiles(connection, everybody)).values()}
        people = sorted(roots, key=lambda root: (roots[root], root))
        shown = [public_id(root) for root in people[:_LARGEST_PAGE]]
        events = [
            DomainEvent(kind="MergeUndone", payload={"merge_id": merge_id, "internal_user_ids": shown})
            for merge_id in merge_ids
        ]
        if made:
            new = [public_id(profile) for profile in made[:_LARGEST_PAGE]]
            events.append(DomainEvent(kind="ProfileCreated", payload={"internal_user_ids": new}))
        await add_domain_events(connection, events)
        separated = SeparatedPeople(key=key, merge_ids=merge_ids, detached=sum(map(len, parts)), people=people)
        await record(connection, _action(separated, asked, now_us))
        return separated

    separated = await in_graph_transaction(database, unit)
    wake.set()
    return separated


def _action(separated: SeparatedPeople, asked: Asked, now_us: int) -> Action:
    counts = {
        "merges": len(separated.merge_ids),
        "detached": separated.detached,
        "people": len(separated.people),
    }
    return Action(
        kind="undo_shared_value",
        actor=asked.actor,
        result="done",
        subjects=[public_id(root) for root in separated.people[:MOST_SUBJECTS]],
        refs={"identifier": separated.key[0]},
        counts=counts,
        reason=asked.reason,
        acted_at=instant_from_us(now_us),
    )


def _position(token: str) -> tuple[int, str, str] | None:
    position = position_of(token, tuple[int, str, str])
    usable = position is not None and abs(position[0]) < 2**62 and "\0" not in position[1] + position[2]
    return position if usable else None
