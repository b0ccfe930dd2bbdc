"""Keeps two people apart by a person's word, takes that back, and tells a person's history of merges."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database, raw
from dmp_chassis.instants import instant_from_us
from dmp_chassis.uuid7 import uuid7_text
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.adapters import merge_store, never_merge_store
from dmp_identity.adapters.graph_locks import lock_merges
from dmp_identity.adapters.merge_store import StoredMerge
from dmp_identity.adapters.never_merge_store import StoredNeverMerge
from dmp_identity.adapters.profile_reads import find_profiles, find_root, members_of
from dmp_identity.domain.errors import NeverMergeNotFoundError, ProfileNotFoundError
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import profile_id_asked_for, reason_violations
from dmp_identity.graph_transaction import in_graph_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeHistory:
    """A person's merges, oldest first, and what keeps the person apart from others."""

    root: int
    merges: list[StoredMerge]
    never_merges: list[StoredNeverMerge]


async def create_never_merge(
    database: Database, internal_user_ids: Sequence[str], *, asked: Asked, clock_us: Callable[[], int]
) -> StoredNeverMerge:
    """Keeps two different people apart. Raises InvalidArgument, ProfileNotFoundError."""
    problems = reason_violations(asked.reason, required=True)
    if len(internal_user_ids) != 2:
        problems.append(Violation("internal_user_ids", "must have two ids"))
    if problems:
        raise InvalidArgument(problems)
    a, b = map(profile_id_asked_for, internal_user_ids)

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> StoredNeverMerge:
        await lock_merges(connection)
        found = await find_profiles(connection, [a, b])
        for number, text in zip((a, b), internal_user_ids, strict=True):
            if number not in found:
                raise ProfileNotFoundError(text)
        if found[a].root == found[b].root:
            raise InvalidArgument(
                [Violation("internal_user_ids", "must be two different people; undo their merge first")]
            )
        now_us = clock_us()
        kept = StoredNeverMerge(
            id=uuid7_text(), profile_a=a, profile_b=b, reason=asked.reason, created_at_us=now_us, merge_id=""
        )
        await never_merge_store.add_never_merges(connection, [kept])
        action = Action(
            kind="create_never_merge",
            actor=asked.actor,
            result="done",
            subjects=[public_id(a), public_id(b)],
            refs={"never_merge_id": kept.id},
            reason=asked.reason,
            acted_at=instant_from_us(now_us),
        )
        await record(connection, action)
        return kept

    return await in_graph_transaction(database, unit)


async def remove_never_merge(
    database: Database, never_merge_id: str, *, asked: Asked, clock_us: Callable[[], int]
) -> bool:
    """Takes it back; False if that had been done. Raises InvalidArgument, NeverMergeNotFoundError."""
    problems = reason_violations(asked.reason, required=True)
    if problems:
        raise InvalidArgument(problems)
    try:
        wanted = str(uuid.UUID(never_merge_id))
    except ValueError:
        raise NeverMergeNotFoundError(never_merge_id) from None

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> bool:
        await lock_merges(connection)
        now_us = clock_us()
        removed = await never_merge_store.remove_never_merge(connection, wanted, asked.reason, now_us)
        if removed is None:
            raise NeverMergeNotFoundError(never_merge_id)
        action = Action(
            kind="remove_never_merge",
            actor=asked.actor,
            result="done" if removed else "unchanged",
            subjects=[public_id(profile) for profile in await never_merge_store.sides_of(connection, wanted)],
            refs={"never_merge_id": wanted},
            reason=asked.reason,
            acted_at=instant_from_us(now_us),
        )
        await record(connection, action)
        return removed

    return await in_graph_transaction(database, unit)


async def list_merges(database: Database, internal_user_id: str) -> MergeHistory:
    """The history of a person. Raises ProfileNotFoundError."""
    profile_id = profile_id_asked_for(internal_user_id)
    async with database.read() as transaction:
        connection = raw(transaction)
        root = await find_root(connection, profile_id)
        if root is None:
            raise ProfileNotFoundError(internal_user_id)
        members = await members_of(connection, root)
        return MergeHistory(
            root=root,
            merges=await merge_store.merges_of(connection, members),
            never_merges=await never_merge_store.never_merges_of(connection, members),
        )
