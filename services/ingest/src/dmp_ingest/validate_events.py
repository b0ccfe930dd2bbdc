"""Checks the events of one request as if they were published, and stores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmp_ingest.domain.event import AcceptableEvent, RejectedEvent
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.large_requests import LargeRequests
from dmp_ingest.publish_events import PublishEvents, judge_events, unfilled_fields, unfilled_macros


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """An event of which there is something to say."""

    position: int
    """In the request, from 0."""
    event_id: str
    rejected: RejectedEvent | None = None
    """Why it would be rejected; None for a valid event."""
    unfilled: tuple[str, ...] = ()
    """The fields of a valid event whose value is a macro that nobody filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The verdict on a request."""

    valid: int
    """How many events would be taken."""
    rejected: int
    """How many would not."""
    noted: Sequence[Noted]
    """Events that would be rejected or are odd, in order."""


async def validate_events(request: PublishEvents, *, policy: EventPolicy, large: LargeRequests) -> Validated:
    """Checks the events of a request. Raises TooLargeError.

    It reads no store: its cost is that of checking the events.
    """
    async with large.turn(len(request.events)):
        judged = await judge_events(request, policy)
    acceptable = [event for event in judged if isinstance(event, AcceptableEvent)]
    macros = unfilled_macros(acceptable) if policy.flag_unfilled_macros else frozenset()
    noted = []
    for position, event in enumerate(judged):
        if isinstance(event, RejectedEvent):
            noted.append(Noted(position=position, event_id=event.event_id, rejected=event))
        elif macros and (unfilled := unfilled_fields(event, macros)):
            noted.append(Noted(position=position, event_id=event.event_id, unfilled=unfilled))
    return Validated(valid=len(acceptable), rejected=len(judged) - len(acceptable), noted=noted)
