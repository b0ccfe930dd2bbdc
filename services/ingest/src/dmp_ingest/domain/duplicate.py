"""Decides whether an event is new, a duplicate or a conflict: what becomes of two events that have one id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.json_text import same_json


class Verdict(Enum):
    """The answer for one valid event."""

    ACCEPTED = "new, durable, counted once"
    DUPLICATE = "stored before with the same content"
    CONFLICT = "stored before with other content, which stands"


class EventContent(NamedTuple):
    """Everything that an event says, its id excepted. Absent texts are empty."""

    type: str
    source: str
    campaign_id: str
    creative_id: str
    user_id: str
    occurred_at_us: int
    identifiers: frozenset[tuple[str, str]]
    """Pairs of type and value; their order says nothing."""
    metadata: bytes
    """A JSON object, or empty."""


def content_of(event: AcceptableEvent) -> EventContent:
    """What this event says."""
    return EventContent(
        type=event.type,
        source=event.source,
        campaign_id=event.campaign_id,
        creative_id=event.creative_id,
        user_id=event.user_id,
        occurred_at_us=event.occurred_at_us,
        identifiers=frozenset(event.identifiers),
        metadata=event.metadata,
    )


def same_content(one: EventContent, other: EventContent) -> bool:
    """Whether two events say the same. Metadata are compared as JSON values, not as text (see `same_json`)."""
    return one[:-1] == other[:-1] and same_json(one.metadata, other.metadata)


def first_of_each_key(events: Sequence[AcceptableEvent]) -> dict[bytes, AcceptableEvent]:
    """The first event of each key, in order. Within a group, as everywhere, the first content stands."""
    firsts = {event.key: event for event in events}
    if len(firsts) < len(events):
        firsts = {}
        for event in events:
            firsts.setdefault(event.key, event)
    return firsts


def standing_fingerprint(
    event: AcceptableEvent, firsts: Mapping[bytes, AcceptableEvent], stored: Mapping[bytes, int]
) -> int:
    """The fingerprint of the event that stands under this one's id: the one in the log, else the first of the group.

    firsts, stored: as `judge` takes them.
    """
    standing = stored.get(event.key)
    return standing if standing is not None else firsts[event.key].fingerprint


def judge(
    events: Sequence[AcceptableEvent],
    firsts: Mapping[bytes, AcceptableEvent],
    stored: Mapping[bytes, int],
    same: frozenset[tuple[bytes, int]],
) -> list[Verdict]:
    """The verdict on each event of a group, in order.

    firsts: the first event of each key, as `first_of_each_key` gives it.
    stored: key and fingerprint of the events that were in the log before the group. All others are accepted now.
    same: key and fingerprint of the events that were compared in full with the standing one and found equal.
    """
    if not stored and len(firsts) == len(events):
        return [Verdict.ACCEPTED] * len(events)
    verdicts = []
    for event in events:
        if event.key not in stored and firsts[event.key] is event:
            verdicts.append(Verdict.ACCEPTED)
            continue
        equal = standing_fingerprint(event, firsts, stored) == event.fingerprint
        is_duplicate = equal or (event.key, event.fingerprint) in same
        verdicts.append(Verdict.DUPLICATE if is_duplicate else Verdict.CONFLICT)
    return verdicts
