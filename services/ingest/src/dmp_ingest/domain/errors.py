"""What can go wrong with a whole request. Problems of single events are not errors: they are answered in their
place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class MalformedBodyError(Exception):
    """The body is not JSON; `problem` says where."""

    problem: str


@dataclass(slots=True, eq=False)
class TooLargeError(Exception):
    """The request carries more than it may; `unit` is `events` or `bytes`."""

    limit: int
    unit: str


@dataclass(slots=True, eq=False)
class OverloadedError(Exception):
    """More is waiting to be stored than the log accepts; nothing of this request was taken on."""

    retry_after_seconds: float


@dataclass(slots=True, eq=False)
class CannotStoreError(Exception):
    """The log could not store the events, or cannot tell whether it did. Sending them again is safe."""


@dataclass(slots=True, eq=False)
class EventNotFoundError(Exception):
    """The log has no event of this id."""

    event_id: str


@dataclass(slots=True, eq=False)
class UnhealthyError(Exception):
    """The system cannot do its work without what is listed."""

    missing: list[str]


@dataclass(slots=True, eq=False)
class CannotAskError(Exception):
    """A service does not answer what an audit or a repair asks of it."""

    service: str


@dataclass(slots=True, eq=False)
class AuditBusyError(Exception):
    """Another audit or repair is under way: one at a time."""


class StretchTooLargeError(Exception):
    """A stretch of an audit has more cells, or takes more time, than one may."""


@dataclass(slots=True, eq=False)
class MinuteTooLargeError(Exception):
    """A single minute has more cells, or takes more time, than an audit may."""

    minute: int
    """Whole minutes since 1970."""


@dataclass(slots=True, eq=False)
class UserNotFoundError(Exception):
    """No person has this id."""

    internal_user_id: str


@dataclass(slots=True, eq=False)
class ErasureNotFoundError(Exception):
    """There is no erasure of this id."""

    erasure_id: str
