"""An event on its way into the log: as it was submitted, as it is stored, and why it was refused."""

from __future__ import annotations

from typing import Final

import msgspec

MOST_EVENT_BYTES: Final = 262_144
"""No event needs to be larger, as JSON or as a message."""
MOST_PROBLEMS: Final = 20
"""So many fields of a refused event are named, and no more."""


class SubmittedEvent(msgspec.Struct, kw_only=True, gc=False):
    """An event as its sender wrote it: right types, nothing else checked. `None` and the empty `metadata` stand for
    absent. occurred_at, ts: as text (see `dmp_chassis.instants`), or microseconds since 1970 within the span of times.

    At most one of `type` and `event_type` and exactly one of the three time fields belong here; `check_event` says so
    otherwise.
    """

    event_id: str | None = None
    type: str | None = None
    event_type: str | None = None
    source: str | None = None
    occurred_at: str | int | None = None
    ts: str | int | None = None
    timestamp: int | float | None = None
    campaign_id: str | None = None
    creative_id: str | None = None
    user_id: str | None = None
    identifiers: dict[str, str | None] | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"")


class AcceptableEvent(msgspec.Struct, gc=False, frozen=True):
    """An event that has passed every rule and may be stored.

    key: 16 bytes that stand for `event_id` (see `event_key`). fingerprint: signed 64-bit digest of all the content,
    the id excepted.
    occurred_at_us: microseconds since 1970, UTC. source, campaign_id, creative_id, user_id: empty if absent. person:
    the user id that the live window
    counts, its own or that among the identifiers. identifiers: (type, trimmed value) in the order in which they were
    sent, each pair once;
    the event's own user id is among them. counts_as: 0 nothing, 1 an impression, 2 a click. metadata: a JSON object
    as it was sent, or empty.
    """

    key: bytes
    fingerprint: int
    event_id: str
    type: str
    counts_as: int
    source: str
    occurred_at_us: int
    campaign_id: str
    creative_id: str
    user_id: str
    person: str
    identifiers: tuple[tuple[str, str], ...]
    metadata: bytes


class UnreadableEvent(msgspec.Struct, kw_only=True, frozen=True):
    """An event with fields of the wrong type. `errors` maps each of these to its problems.

    readable: the event with something harmless in the place of those fields, so that the others can be checked.
    event_id: its id if that could be read, else empty.
    """

    event_id: str
    readable: SubmittedEvent
    errors: dict[str, list[str]]


class ForeignEvent(msgspec.Struct, kw_only=True, frozen=True):
    """An event with fields that another format has."""

    readable: SubmittedEvent
    """The event without them."""
    hints: dict[str, list[str]]
    """For each of these fields, which of ours says the same: of use if the event is refused."""

    @property
    def event_id(self) -> str | None:
        """Its own id, None if it has none."""
        return self.readable.event_id


class RefusedEvent(msgspec.Struct, kw_only=True, frozen=True):
    """An event that breaks rules. `errors` maps each field to its problems; `event_id` is empty if none could be
    read."""

    event_id: str
    errors: dict[str, list[str]]


def refused(event_id: str, errors: dict[str, list[str]]) -> RefusedEvent:
    """A refused event that names at most `MOST_PROBLEMS` fields, and says so if there are more."""
    if len(errors) > MOST_PROBLEMS:
        errors = {field: errors[field] for field in list(errors)[: MOST_PROBLEMS - 1]}
        errors.setdefault("event", []).append("has more problems than are listed")
    return RefusedEvent(event_id=event_id, errors=errors)
