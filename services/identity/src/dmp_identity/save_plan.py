"""Saves a plan: the graph, the contacts that follow it, and the domain events that tell of it. Everything that changes
the graph by a plan is saved here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters.contact_store import load_contacts, save_contacts
from dmp_identity.adapters.graph_store import PlanWriter, allocate_profiles
from dmp_identity.domain.contacts import Compared, ContactBook
from dmp_identity.domain.plan import Plan
from dmp_identity.domain.profile_id import public_id

_EVENT_SIZE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What saving a plan gave.

    writer: writes the rest of the plan, and tells the stored ids of its profiles.
    merge_ids: the ids of the plan's merges, in order.
    contact_ids: new contact row -> the id that it got.
    events: the domain events, for the caller's outbox.
    """

    writer: PlanWriter
    merge_ids: list[str]
    events: list[DomainEvent]
    contact_ids: dict[int, int] = field(default_factory=dict)


async def contacts_of_merged(
    connection: psycopg.AsyncConnection[Any], plan: Plan, *, now_us: int, compared: Compared
) -> ContactBook:
    """The contacts of the people whom the plan merges, after its merges. The caller holds the merge lock."""
    edges = [edge for merge in plan.merges for edge in merge.edges]
    people = {root for edge in edges for root in (edge.survivor, edge.merged)}
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    book = ContactBook(await load_contacts(connection, people), {}, now=now, compared=compared)
    for edge in edges:
        book.combine(edge.survivor, edge.merged)
    return book


async def save_plan(
    connection: psycopg.AsyncConnection[Any], plan: Plan, book: ContactBook | None, *, now_us: int
) -> SavedPlan:
    """Writes the plan's profiles, identifiers and merges, and the contacts that changed; links, pairs and refusals are
    left to the writer that it returns. The caller holds the locks that the plan needs.
    """
    ids = await allocate_profiles(connection, len(plan.profiles))
    writer = PlanWriter(connection, plan, ids, now_us=now_us)
    merge_ids = [uuid7_text() for _ in plan.merges]
    if plan.structural:
        await writer.write_graph(merge_ids)
    contact_ids: dict[int, int] = {}
    if book is not None and book.has_changes:
        contact_ids = await save_contacts(connection, book, merge_ids, writer.real)
    events = list(_domain_events(plan, writer.real, merge_ids))
    return SavedPlan(writer=writer, merge_ids=merge_ids, events=events, contact_ids=contact_ids)


def _domain_events(plan: Plan, real: Callable[[int], int], merge_ids: Sequence[str]) -> Iterator[DomainEvent]:
    """ProfileCreated, in lists of up to a thousand, and ProfilesMerged, one for each merge."""
    for start in range(0, len(plan.profiles), _EVENT_SIZE):
        created = _public_ids(real(profile.id) for profile in plan.profiles[start : start + _EVENT_SIZE])
        yield DomainEvent(kind="ProfileCreated", payload={"internal_user_ids": created})
    for merge_id, merge in zip(merge_ids, plan.merges, strict=True):
        yield DomainEvent(
            kind="ProfilesMerged",
            payload={
                "merge_id": merge_id,
                "cause": merge.cause,
                "internal_user_id": public_id(real(merge.edges[0].survivor)),
                "merged_ids": _public_ids(real(edge.merged) for edge in merge.edges),
            },
        )


def _public_ids(profiles: Iterable[int]) -> list[str]:
    return [public_id(profile) for profile in profiles]
