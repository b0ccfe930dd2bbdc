"""Builds batches as ingest publishes them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.uuid7 import uuid7_text

START_US = 1_700_000_000_000_000
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event: identifiers by type, in the order in which the source sent them."""

    identifiers: dict[str, str]
    event_id: str = ""
    at_us: int = START_US
    type: str = "page_view"
    source: str = "analytics_script"
    more: list[tuple[str, str]] = field(default_factory=list)


def event(event_id: str = "", /, **identifiers: str) -> Event:
    """An event with an id (made up if empty) and identifiers."""
    return Event(identifiers=identifiers, event_id=event_id or f"e-{next(_NUMBERS)}")


def batch(events: Sequence[Event], *, batch_id: str = "", accepted_at_us: int = 0) -> accepted_batch_pb2.AcceptedBatch:
    """The events as one batch."""
    texts = {"": 0}

    def position(text: str) -> int:
        return texts.setdefault(text, len(texts))

    message = accepted_batch_pb2.AcceptedBatch(
        batch_id=batch_id or uuid7_text(), accepted_at_us=accepted_at_us or START_US + next(_NUMBERS)
    )
    for number, one in enumerate(events):
        message.event_ids.append(one.event_id)
        message.occurred_at_us.append(one.at_us)
        message.types.append(position(one.type))
        message.sources.append(position(one.source))
        message.campaigns.append(0)
        message.creatives.append(0)
        message.users.append(0)
        message.counts_as.append(0)
        for kind, value in [*one.identifiers.items(), *one.more]:
            message.identifier_events.append(number)
            message.identifier_types.append(position(kind))
            message.identifier_values.append(position(value))
    message.texts.extend(texts)
    return message
