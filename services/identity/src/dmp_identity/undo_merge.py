"""Takes a merge back, and keeps its people apart from then on."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.instants import instant_from_us
from dmp_chassis.uuid7 import uuid7_text
from dmp_chassis.violations import InvalidArgument
from dmp_identity.adapters import merge_store, never_merge_store, undo_store
from dmp_identity.adapters.contact_store import load_contact_values, load_contacts, save_split_rows
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_locks import lock_merges
from dmp_identity.adapters.merge_store import StoredMerge
from dmp_identity.adapters.never_merge_store import StoredNeverMerge
from dmp_identity.adapters.profile_reads import find_profiles, members_of
from dmp_identity.domain.contacts import Compared
from dmp_identity.domain.errors import MergeNotFoundError
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import reason_violations
from dmp_identity.domain.undo_merge import components, contact_states, split_rows
from dmp_identity.graph_transaction import in_graph_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoneMerge:
    """The people who were one, the oldest first, and what keeps them apart now."""

    merge_id: str
    people: list[int]
    never_merges: list[StoredNeverMerge]
    already_undone: bool


async def undo_merge(
    database: Database,
    merge_id: str,
    *,
    asked: Asked,
    clock_us: Callable[[], int],
    compared: Compared,
    wake: asyncio.Event,
) -> UndoneMerge:
    """Undoes the merge in one transaction. Raises InvalidArgument, MergeNotFoundError."""
    problems = reason_violations(asked.reason, required=True)
    if problems:
        raise InvalidArgument(problems)
    try:
        wanted = str(uuid.UUID(merge_id))
    except ValueError:
        raise MergeNotFoundError(merge_id) from None

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> UndoneMerge:
        await lock_merges(connection)
        merge = await merge_store.find_merge(connection, wanted)
        if merge is None:
            raise MergeNotFoundError(merge_id)
        now_us = clock_us()
        undone = (
            await _undo(connection, merge, asked.reason, now_us, compared)
            if merge.undone_at_us is None
            else await _as_undone(connection, merge)
        )
        action = Action(
            kind="undo_merge",
            actor=asked.actor,
            result="unchanged" if undone.already_undone else "done",
            subjects=[public_id(root) for root in undone.people],
            refs={"merge_id": wanted},
            counts={"people": len(undone.people), "never_merges": len(undone.never_merges)},
            reason=asked.reason,
            acted_at=instant_from_us(now_us),
        )
        await record(connection, action)
        return undone

    undone = await in_graph_transaction(database, unit)
    wake.set()
    return undone


async def _undo(
    connection: psycopg.AsyncConnection[Any], merge: StoredMerge, reason: str, now_us: int, compared: Compared
) -> UndoneMerge:
    """Takes the merge out of force, and keeps those apart whom it made one."""
    sides = _sides(merge)
    await split_people(connection, merge, sides, reason, now_us, compared)
    kept = [
        StoredNeverMerge(
            id=uuid7_text(), profile_a=a, profile_b=b, reason=reason, created_at_us=now_us, merge_id=merge.id
        )
        for a, b in itertools.combinations(sides, 2)
    ]
    await never_merge_store.add_never_merges(connection, kept)
    people = await _people(connection, sides)
    payload = {"merge_id": merge.id, "internal_user_ids": [public_id(root) for root in people]}
    await add_domain_events(connection, [DomainEvent(kind="MergeUndone", payload=payload)])
    return UndoneMerge(merge_id=merge.id, people=people, never_merges=kept, already_undone=False)


async def _as_undone(connection: psycopg.AsyncConnection[Any], merge: StoredMerge) -> UndoneMerge:
    """What an undo that was done before has left."""
    sides = _sides(merge)
    kept = [n for n in await never_merge_store.never_merges_of(connection, sides) if n.merge_id == merge.id]
    return UndoneMerge(
        merge_id=merge.id, people=await _people(connection, sides), never_merges=kept, already_undone=True
    )


def _sides(merge: StoredMerge) -> list[int]:
    return list(dict.fromkeys(profile for edge in merge.edges for profile in (edge.profile_a, edge.profile_b)))


async def split_people(
    connection: psycopg.AsyncConnection[Any],
    merge: StoredMerge,
    sides: list[int],
    reason: str,
    now_us: int,
    compared: Compared,
) -> None:
    """Regroups the cluster's profiles by the merges that stay, and puts its contacts where these leave them."""
    await undo_store.mark_undone(connection, merge.id, reason, now_us)
    root = (await find_profiles(connection, sides[:1]))[sides[0]].root
    await regroup_people(
        connection, await members_of(connection, root), undone={merge.id}, now_us=now_us, compared=compared
    )


async def regroup_people(
    connection: psycopg.AsyncConnection[Any],
    members: Sequence[int],
    *,
    undone: Collection[str],
    now_us: int,
    compared: Compared,
) -> None:
    """Regroups profiles that were one person by the merges in force, and puts their contacts where these leave them.

    undone: merges that are not in force any more; the contacts that they made go.
    """
    merges = await merge_store.active_merges(connection, members)
    groups = components(members, (edge for active in merges for edge in active.edges))
    await undo_store.regroup(connection, groups)
    await undo_store.note_separation(connection, uuid7_text(), members)
    await split_contacts(connection, groups, compared)
    rows = [row for of_root in (await load_contacts(connection, [g[0] for g in groups])).values() for row in of_root]
    made_by = await undo_store.contacts_made_by_merges(connection, [row.id for row in rows])
    gone = [row.id for row in rows if made_by.get(row.id) in undone]
    if gone:
        await undo_store.delete_contacts(connection, gone, now_us)
    rows = [row for row in rows if row.id not in gone]
    states = contact_states(rows, merges, made_by)
    changed = {
        row.id: states[row.id]
        for row in rows
        if (row.linked_id, row.updated_at) != (states[row.id].linked_id, states[row.id].updated_at)
    }
    await undo_store.set_contact_states(connection, changed)


async def split_contacts(
    connection: psycopg.AsyncConnection[Any], groups: Sequence[Sequence[int]], compared: Compared
) -> None:
    """Takes from the groups' contact rows, deleted ones included, what belongs to another group.

    groups: the profiles of people who were one person, each group with its oldest profile first.
    """
    roots = [group[0] for group in groups]
    rows = itertools.chain.from_iterable((await load_contacts(connection, roots, with_deleted=True)).values())
    known = itertools.chain.from_iterable((await load_contact_values(connection, roots)).values())
    await save_split_rows(connection, split_rows(rows, known, groups, compared))


async def _people(connection: psycopg.AsyncConnection[Any], profiles: list[int]) -> list[int]:
    found = await find_profiles(connection, profiles)
    roots = {p.root: p.root_created_at_us for p in found.values()}
    return sorted(roots, key=lambda root: (roots[root], root))
