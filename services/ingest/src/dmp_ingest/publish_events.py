"""Publishes the events of one request: checks each by itself, has the valid ones stored, and answers for all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

import msgspec

from dmp_chassis.pauses import Pauses
from dmp_chassis.unfilled_macros import is_unfilled_macro
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.domain.check_event import check_event, check_foreign, check_unreadable
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.errors import CannotStoreError, TooLargeError
from dmp_ingest.domain.event import AcceptableEvent, ForeignEvent, RejectedEvent, SubmittedEvent, UnreadableEvent
from dmp_ingest.domain.event_key import derived_event_id, event_keys
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.rejections import NO_REJECTIONS, Rejections, rejections_of, sum_of
from dmp_ingest.domain.request_stamp import RequestStamp, stamped_event_id
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.large_requests import LargeRequests

_AT_ONCE_EVENTS: Final = 25
"""After this time other requests get their turn."""
_ENOUGH_SOURCE: Final = 256


class PublishEvents(msgspec.Struct, kw_only=True, frozen=True):
    """One request."""

    events: Sequence[SubmittedEvent | ForeignEvent | UnreadableEvent | RejectedEvent]
    """Each event as far as it could be read."""
    size_bytes: int
    """The size of what was sent, after it was inflated."""
    source: str | None = None
    """The source of events that name none."""
    idempotency_key: str = ""
    """Makes the ids of events that have none. Empty if the caller gave no key."""
    stamp: RequestStamp | None = None
    """Makes them if there is no key: the same ones at each try of the gateway. None if no gateway is in between."""


class StoredOutcome(msgspec.Struct, frozen=True, gc=False):
    """The answer for an event that is in the log."""

    event_id: str
    verdict: Verdict
    internal_user_id: str
    """Empty if it is not known."""
    unfilled: tuple[str, ...] = ()
    """The fields whose value is a macro that nobody filled."""


Outcome: TypeAlias = StoredOutcome | RejectedEvent


class Published(msgspec.Struct, kw_only=True, frozen=True):
    """The answer for one request."""

    accepted: int = 0
    duplicates: int = 0
    """Repeated events, those in conflict with the stored one included."""
    rejected: int = 0
    """Invalid events."""
    applied: bool = True
    """Whether identity and stats have applied all stored events of the request."""
    outcomes: Sequence[Outcome] = ()
    """One for each event, in the order of the request."""


async def publish_events(
    request: PublishEvents, *, policy: EventPolicy, large: LargeRequests, gathering: GroupGathering
) -> Published:
    """Checks the events of a request and stores the valid ones.

    Raises TooLargeError before any work, CannotStoreError if the log could not store the valid events.
    """
    async with large.turn(len(request.events)):
        judged = await judge_events(request, policy)
        acceptable = [event for event in judged if type(event) is AcceptableEvent]
        rejected = NO_REJECTIONS if len(acceptable) == len(judged) else await _sum_up(request, judged)
    if not acceptable:
        await _announce_rejection(rejected, gathering)
        return Published(
            rejected=rejected.count, outcomes=[event for event in judged if isinstance(event, RejectedEvent)]
        )
    committed = await gathering.submit(acceptable, rejected=rejected, size_bytes=request.size_bytes)
    stored = [
        StoredOutcome(event.event_id, verdict, profile)
        for event, verdict, profile in zip(acceptable, committed.verdicts, committed.internal_user_ids, strict=True)
    ]
    if policy.flag_unfilled_macros and (macros := unfilled_macros(acceptable)):
        stored = [
            msgspec.structs.replace(outcome, unfilled=unfilled_fields(event, macros))
            for event, outcome in zip(acceptable, stored, strict=True)
        ]
    outcomes: Sequence[Outcome] = stored
    if rejected.count:
        in_order = iter(stored)
        outcomes = [event if isinstance(event, RejectedEvent) else next(in_order) for event in judged]
    accepted = committed.verdicts.count(Verdict.ACCEPTED)
    return Published(
        accepted=accepted,
        duplicates=len(acceptable) - accepted,
        rejected=rejected.count,
        applied=committed.applied,
        outcomes=outcomes,
    )


def unfilled_macros(events: Sequence[AcceptableEvent]) -> frozenset[str]:
    """Which campaigns, creatives and sources of these events are macros. Each different text is looked at once."""
    texts = {event.campaign_id for event in events}
    texts.update([event.creative_id for event in events], [event.source for event in events])
    return frozenset(filter(is_unfilled_macro, texts))


def unfilled_fields(event: AcceptableEvent, macros: frozenset[str]) -> tuple[str, ...]:
    """Those of an event whose value is one of these macros."""
    named = (("campaign_id", event.campaign_id), ("creative_id", event.creative_id), ("source", event.source))
    return tuple(name for name, text in named if text in macros)


async def judge_events(request: PublishEvents, policy: EventPolicy) -> list[AcceptableEvent | RejectedEvent]:
    """Checks each event, in order. Other requests get their turn in between. Raises TooLargeError before any work."""
    if len(request.events) > policy.max_events_per_request:
        raise TooLargeError(limit=policy.max_events_per_request, unit="events")
    now_us = time.time_ns() // 1000
    # A longer source is invalid anyway; what is left is enough to say so, and cheap to compare for every event.
    source = (request.source or "")[:_ENOUGH_SOURCE]
    judged: list[AcceptableEvent | RejectedEvent] = []
    pauses = Pauses()
    for first in range(0, len(request.events), _AT_ONCE_EVENTS):
        if first:
            await pauses.take_if_due()
        events = request.events[first : first + _AT_ONCE_EVENTS]
        event_ids = [
            _new_id_of(event, first + index, request) if event.event_id is None else event.event_id
            for index, event in enumerate(events)
        ]
        for event, event_id, key in zip(events, event_ids, event_keys(event_ids), strict=True):
            if type(event) is RejectedEvent:
                judged.append(event)
            elif type(event) is UnreadableEvent:
                judged.append(check_unreadable(event, event_id, key, policy, now_us, source))
            elif type(event) is ForeignEvent:
                judged.append(check_foreign(event, event_id, key, policy, now_us, source))
            else:
                judged.append(check_event(cast("SubmittedEvent", event), event_id, key, policy, now_us, source))
    return judged


def _new_id_of(
    event: SubmittedEvent | ForeignEvent | UnreadableEvent | RejectedEvent, index: int, request: PublishEvents
) -> str:
    """The id of an event without one: for an identified event that can be read, else empty."""
    submitted = event.readable if isinstance(event, ForeignEvent) else event
    is_new = isinstance(submitted, SubmittedEvent) and submitted.timestamp is not None
    return _made_event_id(request, index) if is_new else ""


def _made_event_id(request: PublishEvents, index: int) -> str:
    if request.idempotency_key:
        return derived_event_id(request.idempotency_key, index)
    return uuid7_text() if request.stamp is None else stamped_event_id(request.stamp, index)


async def _sum_up(request: PublishEvents, judged: Sequence[AcceptableEvent | RejectedEvent]) -> Rejections:
    """The rejected ones among these events. Other requests get their turn in between."""
    parts = []
    pauses = Pauses()
    for first in range(0, len(judged), _AT_ONCE_EVENTS):
        await pauses.take_if_due()
        piece = slice(first, first + _AT_ONCE_EVENTS)
        parts.append(rejections_of(request.events[piece], judged[piece]))
    return sum_of(parts)


async def _announce_rejection(rejected: Rejections, gathering: GroupGathering) -> None:
    """Announces rejected events. If the log cannot store that, their answer stands all the same."""
    if not rejected.count:
        return
    try:
        await gathering.submit((), rejected=rejected, size_bytes=0)
    except CannotStoreError:
        return
