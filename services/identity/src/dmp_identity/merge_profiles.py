"""Makes profiles one person because somebody knows that they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from dmp_chassis.database import Database
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters.contact_store import load_contacts, save_contacts
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_locks import lock_merges
from dmp_identity.adapters.merge_store import StoredProfile, find_profiles, pairs_apart, store_merge
from dmp_identity.domain.contacts import Compared, ContactBook
from dmp_identity.domain.errors import InvalidFieldsError, NeverMergeError, ProfileNotFoundError
from dmp_identity.domain.plan import MergeEdge, NewMerge
from dmp_identity.domain.profile_id import public_id
from dmp_identity.read_profile import PersonView, known_form, view_person
from dmp_identity.record_observations import in_graph_transaction

MOST_PROFILES: Final = 100
LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedProfiles:
    """The person that resulted; `merge_id` is empty if nothing was done."""

    person: PersonView
    merge_id: str


def checked_reason(reason: str, *, required: bool) -> list[tuple[str, str]]:
    """What is wrong with a reason: field and description."""
    if required and not reason.strip():
        return [("reason", "is required")]
    if len(reason) > LONGEST_REASON:
        return [("reason", f"must have at most {LONGEST_REASON} characters")]
    return [("reason", "must not have NUL characters")] if "\0" in reason else []


async def merge_profiles(
    database: Database,
    internal_user_ids: Sequence[str],
    *,
    reason: str,
    clock_us: Callable[[], int],
    compared: Compared,
    wake: asyncio.Event,
) -> MergedProfiles:
    """Merges all of them into the oldest. Raises InvalidFieldsError, ProfileNotFoundError, NeverMergeError."""
    problems = checked_reason(reason, required=False)
    if not 1 <= len(internal_user_ids) <= MOST_PROFILES:
        problems.append(("internal_user_ids", f"must have 1 to {MOST_PROFILES} ids"))
    if problems:
        raise InvalidFieldsError(problems)
    wanted = {known_form(text): text for text in internal_user_ids}

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> MergedProfiles:
        await lock_merges(connection)
        found = await find_profiles(connection, list(wanted))
        missing = [text for number, text in wanted.items() if number not in found]
        if missing:
            raise ProfileNotFoundError(missing[0])
        merge_id = await merge_people(
            connection, [found[number] for number in wanted], reason=reason, now_us=clock_us(), compared=compared
        )
        root = (await find_profiles(connection, list(wanted)))[next(iter(wanted))].root
        return MergedProfiles(person=await view_person(connection, root), merge_id=merge_id)

    merged = await in_graph_transaction(database, unit)
    if merged.merge_id:
        wake.set()
    return merged


async def merge_people(
    connection: psycopg.AsyncConnection[Any],
    profiles: Sequence[StoredProfile],
    *,
    reason: str,
    now_us: int,
    compared: Compared,
) -> str:
    """Merges the people of some profiles by hand; returns the merge's id, empty if they are one person already. Raises
    NeverMergeError. The caller holds the merge lock.
    """
    people = {profile.root: profile for profile in profiles}
    roots = sorted(people, key=lambda root: (people[root].root_created_at_us, root))
    if len(roots) < 2:
        return ""
    apart = await pairs_apart(connection, roots)
    if apart:
        raise NeverMergeError((public_id(apart[0][0]), public_id(apart[0][1])))
    named = {profile.root: profile.id for profile in reversed(profiles)}
    merge = NewMerge(
        cause="manual",
        ref="",
        source="",
        edges=tuple(
            MergeEdge(
                survivor=roots[0],
                merged=root,
                profile_a=named[roots[0]],
                profile_b=named[root],
                key_a=None,
                key_b=None,
            )
            for root in roots[1:]
        ),
    )
    identified = any(people[root].root_identified for root in roots)
    return await join_people(connection, merge, reason=reason, identified=identified, now_us=now_us, compared=compared)


async def join_people(
    connection: psycopg.AsyncConnection[Any],
    merge: NewMerge,
    *,
    reason: str,
    identified: bool,
    now_us: int,
    compared: Compared,
) -> str:
    """Stores a merge of people who exist, whose edges all have the same survivor, with their contacts and its domain
    event. Returns the merge's id. The caller holds the merge lock.
    """
    survivor, merged = merge.edges[0].survivor, [edge.merged for edge in merge.edges]
    book = ContactBook(
        await load_contacts(connection, [survivor, *merged]),
        {},
        now=datetime.fromtimestamp(now_us / 1e6, UTC),
        compared=compared,
    )
    for edge in merge.edges:
        book.combine(edge.survivor, edge.merged)
    merge_id = uuid7_text()
    await store_merge(connection, merge_id, merge, reason=reason, identified=identified, now_us=now_us)
    await save_contacts(connection, book, [merge_id], lambda profile: profile)
    payload = {
        "merge_id": merge_id,
        "cause": merge.cause,
        "internal_user_id": public_id(survivor),
        "merged_ids": [public_id(root) for root in merged],
    }
    await add_domain_events(connection, [DomainEvent(kind="ProfilesMerged", payload=payload)])
    return merge_id
