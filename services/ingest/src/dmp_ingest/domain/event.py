"""An event on its way into the log: as it was sent, as it is stored, or why it is rejected."""

from __future__ import annotations

from typing import Final

import msgspec

MOST_EVENT_BYTES: Final = 262_144
"""No event needs to be larger, as JSON or as a message."""
MOST_PROBLEMS: Final = 20
"""A rejected event names at most so many fields."""


class SubmittedEvent(msgspec.Struct, kw_only=True, gc=False):
    """An event as its sender wrote it. The types of its fields are right; nothing else has been checked.

    A field that is None, and empty `metadata`, were not sent.
    """

    event_id: str | None = None
    type: str | None = None
    event_type: str | None = None
    """Another name of `type`."""
    source: str | None = None
    occurred_at: str | int | None = None
    """The time of a campaign event: a text (see `dmp_chassis.instants`), or microseconds since 1970."""
    ts: str | int | None = None
    """The time of an activity event, likewise. Exactly one of the three times must be there."""
    timestamp: int | float | None = None
    """The time of an identified event, in seconds since 1970."""
    campaign_id: str | None = None
    creative_id: str | None = None
    user_id: str | None = None
    identifiers: dict[str, str | None] | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"")


class AcceptableEvent(msgspec.Struct, gc=False, frozen=True):
    """A valid event: it has passed every rule and may be stored. Absent texts are empty."""

    key: bytes
    """The 16 bytes that stand for `event_id` (see `event_key`)."""
    fingerprint: int
    """A 63-bit digest of everything that the event says, its id excepted."""
    event_id: str
    type: str
    counts_as: int
    """What statistics count it as: 0 nothing, 1 an impression, 2 a click."""
    source: str
    occurred_at_us: int
    """When it happened, in microseconds since 1970 UTC."""
    campaign_id: str
    creative_id: str
    user_id: str
    """The event's own user id, without spaces around it."""
    person: str
    """The user id that the sliding window counts: the event's own, else the one among the identifiers."""
    identifiers: tuple[tuple[str, str], ...]
    """Pairs of type and trimmed value, each pair once, in the order in which they were sent. The event's own user id is
    the first."""
    metadata: bytes
    """A JSON object exactly as it was sent, or empty."""


class UnreadableEvent(msgspec.Struct, kw_only=True, frozen=True):
    """An event with fields of the wrong type."""

    event_id: str
    """Its id if that could be read, else empty."""
    readable: SubmittedEvent
    """The event with valid stand-ins for the fields that could not be read, so that the others can be checked."""
    errors: dict[str, list[str]]
    """The problems of each field that could not be read."""


class ForeignEvent(msgspec.Struct, kw_only=True, frozen=True):
    """An event that also has fields of another format, such as CloudEvents."""

    readable: SubmittedEvent
    """The event without these fields."""
    hints: dict[str, list[str]]
    """For each of these fields, which of our fields says the same. It is shown if the event is rejected."""

    @property
    def event_id(self) -> str | None:
        """Its own id, None if it has none."""
        return self.readable.event_id


class RejectedEvent(msgspec.Struct, kw_only=True, frozen=True):
    """An invalid event: it is not stored, and its sender is told why."""

    event_id: str
    """The id that it came with if that could be read and is valid, else empty: it is given none."""
    errors: dict[str, list[str]]
    """The problems of each field."""


def rejected_event(event_id: str, errors: dict[str, list[str]]) -> RejectedEvent:
    """A rejected event. If more than `MOST_PROBLEMS` fields are wrong it names fewer, and says that there are more."""
    if len(errors) > MOST_PROBLEMS:
        errors = {field: errors[field] for field in list(errors)[: MOST_PROBLEMS - 1]}
        errors.setdefault("event", []).append("has more problems than are listed")
    return RejectedEvent(event_id=event_id, errors=errors)
