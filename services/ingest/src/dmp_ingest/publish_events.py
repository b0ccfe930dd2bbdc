"""Takes the events of one request in: judges each by itself, stores the good ones through the group commit, answers
for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

import msgspec

from dmp_chassis.unfilled_macros import is_unfilled_macro
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.domain.check_event import check_event, check_foreign, check_unreadable
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.errors import CannotStoreError, TooLargeError
from dmp_ingest.domain.event import AcceptableEvent, ForeignEvent, RefusedEvent, SubmittedEvent, UnreadableEvent
from dmp_ingest.domain.event_key import derived_event_id, event_keys
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.gather_groups import GroupGathering

_AT_ONCE_EVENTS: Final = 25
_AT_ONCE_SECONDS: Final = 0.01
"""After so long others get their turn."""
_ENOUGH_SOURCE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishEvents:
    """One request. events: each as it was read, as far as that was possible. source: of events that name none.

    size_bytes: what was sent, inflated. idempotency_key: makes the ids of events that have none; empty if the caller
    gave no key.
    """

    events: Sequence[SubmittedEvent | ForeignEvent | UnreadableEvent | RefusedEvent]
    size_bytes: int
    source: str | None = None
    idempotency_key: str = ""


class StoredOutcome(msgspec.Struct, frozen=True, gc=False):
    """The answer for an event that is in the log."""

    event_id: str
    verdict: Verdict
    internal_user_id: str
    """Empty if it is not known."""
    unfilled: tuple[str, ...] = ()
    """The fields whose value is a macro that nobody filled."""


Outcome: TypeAlias = StoredOutcome | RefusedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The answer for one request. outcomes: one for each event, in the order of the request."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    applied: bool = True
    outcomes: Sequence[Outcome] = field(default=())


async def publish_events(request: PublishEvents, *, policy: EventPolicy, gathering: GroupGathering) -> Published:
    """Raises TooLargeError, OverloadedError before any work, CannotStoreError if the log could not store the good
    events."""
    if len(request.events) > policy.max_events_per_request:
        raise TooLargeError(limit=policy.max_events_per_request, unit="events")
    judged = await _judge(request, policy)
    acceptable = [event for event in judged if type(event) is AcceptableEvent]
    rejected = len(judged) - len(acceptable)
    if not acceptable:
        await _announce_rejection(rejected, gathering)
        return Published(rejected=rejected, outcomes=[event for event in judged if isinstance(event, RefusedEvent)])
    committed = await gathering.submit(acceptable, rejected=rejected, size_bytes=request.size_bytes)
    stored = [
        StoredOutcome(event.event_id, verdict, profile)
        for event, verdict, profile in zip(acceptable, committed.verdicts, committed.internal_user_ids, strict=True)
    ]
    if policy.flag_unfilled_macros and (macros := _unfilled_macros(acceptable)):
        stored = [
            msgspec.structs.replace(outcome, unfilled=_unfilled_fields(event, macros))
            for event, outcome in zip(acceptable, stored, strict=True)
        ]
    outcomes: Sequence[Outcome] = stored
    if rejected:
        in_order = iter(stored)
        outcomes = [event if isinstance(event, RefusedEvent) else next(in_order) for event in judged]
    accepted = committed.verdicts.count(Verdict.ACCEPTED)
    return Published(
        accepted=accepted,
        duplicates=len(acceptable) - accepted,
        rejected=rejected,
        applied=committed.applied,
        outcomes=outcomes,
    )


def _unfilled_macros(events: Sequence[AcceptableEvent]) -> frozenset[str]:
    """The campaigns, creatives and sources of these events that are macros. Each different text is looked at once."""
    texts = {event.campaign_id for event in events}
    texts.update([event.creative_id for event in events], [event.source for event in events])
    return frozenset(filter(is_unfilled_macro, texts))


def _unfilled_fields(event: AcceptableEvent, macros: frozenset[str]) -> tuple[str, ...]:
    named = (("campaign_id", event.campaign_id), ("creative_id", event.creative_id), ("source", event.source))
    return tuple(name for name, text in named if text in macros)


async def _judge(request: PublishEvents, policy: EventPolicy) -> list[AcceptableEvent | RefusedEvent]:
    """The verdict on each event, in order; in between others get their turn."""
    now_us = time.time_ns() // 1000
    # Of a text that is too long only that matters: it goes into the comparison of every event that names no source.
    source = (request.source or "")[:_ENOUGH_SOURCE]
    judged: list[AcceptableEvent | RefusedEvent] = []
    turn_ends = time.monotonic() + _AT_ONCE_SECONDS
    for first in range(0, len(request.events), _AT_ONCE_EVENTS):
        if time.monotonic() > turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + _AT_ONCE_SECONDS
        events = request.events[first : first + _AT_ONCE_EVENTS]
        event_ids = [
            _new_id_of(event, first + index, request) if event.event_id is None else event.event_id
            for index, event in enumerate(events)
        ]
        for event, event_id, key in zip(events, event_ids, event_keys(event_ids), strict=True):
            if type(event) is RefusedEvent:
                judged.append(event)
            elif type(event) is UnreadableEvent:
                judged.append(check_unreadable(event, event_id, key, policy, now_us, source))
            elif type(event) is ForeignEvent:
                judged.append(check_foreign(event, event_id, key, policy, now_us, source))
            else:
                judged.append(check_event(cast("SubmittedEvent", event), event_id, key, policy, now_us, source))
    return judged


def _new_id_of(
    event: SubmittedEvent | ForeignEvent | UnreadableEvent | RefusedEvent, index: int, request: PublishEvents
) -> str:
    """The id of an event without one: a new one for an identified event that can be read, else empty."""
    submitted = event.readable if isinstance(event, ForeignEvent) else event
    is_new = isinstance(submitted, SubmittedEvent) and submitted.timestamp is not None
    return _new_event_id(request.idempotency_key, index) if is_new else ""


def _new_event_id(idempotency_key: str, index: int) -> str:
    return derived_event_id(idempotency_key, index) if idempotency_key else uuid7_text()


async def _announce_rejection(rejected: int, gathering: GroupGathering) -> None:
    """The verdict on invalid events does not depend on the log: if it cannot store the announcement, the answer
    stands all the same."""
    if not rejected:
        return
    try:
        await gathering.submit((), rejected=rejected, size_bytes=0)
    except CannotStoreError:
        return
