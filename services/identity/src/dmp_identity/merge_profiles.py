"""Makes profiles one person because somebody knows that they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database
from dmp_chassis.instants import instant_from_us
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.adapters.domain_event_store import add_domain_events
from dmp_identity.adapters.graph_locks import lock_merges
from dmp_identity.adapters.graph_snapshot import load_people
from dmp_identity.adapters.profile_reads import find_profiles
from dmp_identity.domain.contacts import Compared
from dmp_identity.domain.errors import ProfileNotFoundError
from dmp_identity.domain.merge_people import MergeAct, MergeEnd, plan_merge
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import profile_id_asked_for, reason_violations
from dmp_identity.graph_transaction import in_graph_transaction
from dmp_identity.read_profile import PersonView, view_person
from dmp_identity.save_plan import contacts_of_merged, save_plan

MOST_PROFILES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedProfiles:
    """The person that resulted; `merge_id` is empty if nothing was done."""

    person: PersonView
    merge_id: str


async def merge_profiles(
    database: Database,
    internal_user_ids: Sequence[str],
    *,
    asked: Asked,
    clock_us: Callable[[], int],
    compared: Compared,
    wake: asyncio.Event,
) -> MergedProfiles:
    """Merges all of them into the oldest. Raises InvalidArgument, ProfileNotFoundError, NeverMergeError."""
    problems = reason_violations(asked.reason, required=False)
    if not 1 <= len(internal_user_ids) <= MOST_PROFILES:
        problems.append(Violation("internal_user_ids", f"must have 1 to {MOST_PROFILES} ids"))
    if problems:
        raise InvalidArgument(problems)
    wanted = {profile_id_asked_for(text): text for text in internal_user_ids}

    async def unit(connection: psycopg.AsyncConnection[Any], _: bool) -> MergedProfiles:
        await lock_merges(connection)
        found = await find_profiles(connection, list(wanted))
        missing = [text for number, text in wanted.items() if number not in found]
        if missing:
            raise ProfileNotFoundError(missing[0])
        now_us = clock_us()
        merge_id = await merge_in_graph(
            connection,
            [MergeEnd(profile=number, key=None) for number in wanted],
            MergeAct(cause="manual", reason=asked.reason),
            now_us=now_us,
            compared=compared,
        )
        root = (await find_profiles(connection, list(wanted)))[next(iter(wanted))].root
        await record(
            connection,
            Action(
                kind="merge_profiles",
                actor=asked.actor,
                result="done" if merge_id else "unchanged",
                subjects=[public_id(number) for number in wanted],
                refs={"merge_id": merge_id, "survivor": public_id(root)},
                reason=asked.reason,
                acted_at=instant_from_us(now_us),
            ),
        )
        return MergedProfiles(person=await view_person(connection, root), merge_id=merge_id)

    merged = await in_graph_transaction(database, unit)
    wake.set()
    return merged


async def merge_in_graph(
    connection: psycopg.AsyncConnection[Any],
    ends: Sequence[MergeEnd],
    act: MergeAct,
    *,
    now_us: int,
    compared: Compared,
) -> str:
    """Merges the people of profiles that exist, with their contacts and the domain event. Returns the merge's id, empty
    if they are one person already. Raises NeverMergeError. The caller holds the merge lock.
    """
    plan = plan_merge(await load_people(connection, [end.profile for end in ends]), ends, act)
    if not plan.merges:
        return ""
    book = await contacts_of_merged(connection, plan, now_us=now_us, compared=compared)
    saved = await save_plan(connection, plan, book, now_us=now_us)
    await add_domain_events(connection, saved.events)
    return saved.merge_ids[0]
