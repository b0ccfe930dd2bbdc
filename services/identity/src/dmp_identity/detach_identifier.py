"""Takes one identifier from a person, and gives it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.instants import instant_from_us
from dmp_chassis.uuid7 import uuid7_text
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.adapters import never_merge_store
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_locks import lock_stripes, stripe
from dmp_identity.adapters.never_merge_store import StoredNeverMerge
from dmp_identity.adapters.profile_reads import find_root, members_of
from dmp_identity.adapters.separation_store import StoredIdentifier, find_identifier, move_to_new_profiles
from dmp_identity.domain.errors import NoMatchError, ProfileNotFoundError
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.merge_people import MergeAct, MergeEnd
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import profile_id_asked_for, reason_violations
from dmp_identity.graph_transaction import in_graph_transaction
from dmp_identity.know_key_rules import one_as_stored
from dmp_identity.merge_profiles import merge_in_graph
from dmp_identity.undo_merge import regroup_people


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierOfPerson:
    """A person, by any id, and one of that person's strong identifiers as it was written.

    asked: who wants to move it, and why.
    """

    internal_user_id: str
    identifier: str
    value: str
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """root: the person who had the identifier. profile: whose it is now. never_merge: what keeps the two apart."""

    root: int
    profile: int
    never_merge: StoredNeverMerge


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """root: the person who has the identifier now. merge_id: empty if that person had it already."""

    root: int
    merge_id: str


def read_strong(parser: IdentifierParser, identifier: str, value: str, reason: str) -> ParsedIdentifier:
    """The strong identifier that a request names. Raises InvalidArgument."""
    problems = reason_violations(reason, required=True)
    kind = parser.policy.types.get(identifier)
    strong = [name for name, known in parser.policy.types.items() if known.strong]
    if kind is None or not kind.strong:
        problems.append(Violation("identifier", f"must be one of {', '.join(strong)}"))
    parsed = None if "\0" in value else parser.parse(identifier, value)
    if parsed is None:
        problems.append(Violation("value", "must not have NUL characters" if "\0" in value else "is required"))
    if problems or parsed is None:
        raise InvalidArgument(problems)
    return parsed


async def detach_identifier(
    database: Database,
    parser: IdentifierParser,
    wanted: IdentifierOfPerson,
    *,
    clock_us: Callable[[], int],
    wake: asyncio.Event,
) -> Detached:
    """Gives the identifier a profile of its own, kept apart from the person. Raises InvalidArgument, NoMatchError,
    ProfileNotFoundError.
    """
    parsed = read_strong(parser, wanted.identifier, wanted.value, wanted.asked.reason)
    profile_id = profile_id_asked_for(wanted.internal_user_id)

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> Detached:
        key = (await one_as_stored(connection, parser, parsed)).key
        await lock_stripes(connection, [stripe(key)], merge=True)
        root = await _root(connection, profile_id)
        found = await _find(connection, key)
        if found.root != root:
            raise NoMatchError(wanted.identifier)
        now_us = clock_us()
        members = await members_of(connection, root)
        (profile,) = await move_to_new_profiles(connection, [[key]], now_us)
        kept = StoredNeverMerge(
            id=uuid7_text(),
            profile_a=found.profile,
            profile_b=profile,
            reason=wanted.asked.reason,
            created_at_us=now_us,
            merge_id="",
        )
        await regroup_people(connection, [*members, profile], undone=(), now_us=now_us, compared=parser.compared)
        await never_merge_store.add_never_merges(connection, [kept])
        payload = {"internal_user_ids": [public_id(profile)]}
        await add_domain_events(connection, [DomainEvent(kind="ProfileCreated", payload=payload)])
        await record(connection, _action("detach_identifier", wanted, [root, profile], now_us, never_merge_id=kept.id))
        return Detached(root=root, profile=profile, never_merge=kept)

    detached = await in_graph_transaction(database, unit)
    wake.set()
    return detached


async def attach_identifier(
    database: Database,
    parser: IdentifierParser,
    wanted: IdentifierOfPerson,
    *,
    clock_us: Callable[[], int],
    wake: asyncio.Event,
) -> Attached:
    """Makes whoever has the identifier one with the person, and removes what kept just these two apart. Raises
    InvalidArgument, NoMatchError, ProfileNotFoundError.
    """
    parsed = read_strong(parser, wanted.identifier, wanted.value, wanted.asked.reason)
    profile_id = profile_id_asked_for(wanted.internal_user_id)

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> Attached:
        key = (await one_as_stored(connection, parser, parsed)).key
        await lock_stripes(connection, [stripe(key)], merge=True)
        root = await _root(connection, profile_id)
        found = await _find(connection, key)
        members = await members_of(connection, root)
        others = await members_of(connection, found.root)
        now_us = clock_us()
        # Who has it already stays apart from everybody from whom they are kept apart.
        between = await never_merge_store.never_merges_of(connection, members) if found.root != root else []
        for kept in between:
            if kept.profile_a in others or kept.profile_b in others:
                await never_merge_store.remove_never_merge(connection, kept.id, wanted.asked.reason, now_us)
        merge_id = await merge_in_graph(
            connection,
            [MergeEnd(profile=profile_id, key=None), MergeEnd(profile=found.profile, key=None)],
            MergeAct(cause="manual", reason=wanted.asked.reason),
            now_us=now_us,
            compared=parser.compared,
        )
        people = [profile_id, found.profile]
        await record(connection, _action("attach_identifier", wanted, people, now_us, merge_id=merge_id))
        return Attached(root=await _root(connection, profile_id), merge_id=merge_id)

    attached = await in_graph_transaction(database, unit)
    wake.set()
    return attached


def _action(kind: str, wanted: IdentifierOfPerson, people: Sequence[int], now_us: int, **refs: str) -> Action:
    return Action(
        kind=kind,
        actor=wanted.asked.actor,
        result="done" if any(refs.values()) else "unchanged",
        subjects=[public_id(profile) for profile in people],
        refs={"identifier": wanted.identifier, **refs},
        reason=wanted.asked.reason,
        acted_at=instant_from_us(now_us),
    )


async def _root(connection: psycopg.AsyncConnection[Any], profile_id: int) -> int:
    root = await find_root(connection, profile_id)
    if root is None:
        raise ProfileNotFoundError(public_id(profile_id))
    return root


async def _find(connection: psycopg.AsyncConnection[Any], key: Key) -> StoredIdentifier:
    found = await find_identifier(connection, key)
    if found is None:
        raise NoMatchError(key[0])
    return found
