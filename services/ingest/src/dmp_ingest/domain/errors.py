"""What can go wrong with a whole request. An invalid event is not an error: it is answered in its place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class MalformedBodyError(Exception):
    """The body is not JSON."""

    problem: str
    """Where it stops being JSON."""


@dataclass(slots=True, eq=False)
class TooLargeError(Exception):
    """The request has more than it may."""

    limit: int
    unit: str
    """`events` or `bytes`."""


@dataclass(slots=True, eq=False)
class OverloadedError(Exception):
    """Too many events wait to be stored. Nothing of this request was stored."""

    retry_after_seconds: float


@dataclass(slots=True, eq=False)
class CannotStoreError(Exception):
    """The log could not store the events, or cannot tell whether it did. Sending them again is safe."""


@dataclass(slots=True, eq=False)
class EventNotFoundError(Exception):
    """The log has no event of this id."""

    event_id: str
    expired: bool = False
    """Whether it had one, which is older than the log's retention."""


@dataclass(slots=True, eq=False)
class UnhealthyError(Exception):
    """Something is missing that the system needs for its work."""

    missing: list[str]


@dataclass(slots=True, eq=False)
class CannotAskError(Exception):
    """A service does not answer what an audit or a repair asks of it."""

    service: str


@dataclass(slots=True, eq=False)
class AuditBusyError(Exception):
    """Another audit or repair is under way: one at a time."""


class RangeTooLargeError(Exception):
    """A part of an audit's range has more cells, or takes more time, than a part may."""


@dataclass(slots=True, eq=False)
class MinuteTooLargeError(Exception):
    """A single minute of an audit has more cells, or takes more time, than a part may."""

    minute: int
    """Whole minutes since 1970."""


@dataclass(slots=True, eq=False)
class ExpiredRangeError(Exception):
    """An audit's range begins before the events of which the log has the contents."""

    first: int
    """The first minute that may be audited, in whole minutes since 1970."""


class ExportBusyError(Exception):
    """Another export writes into the directory."""


@dataclass(slots=True, eq=False)
class UserNotFoundError(Exception):
    """No person has this id."""

    internal_user_id: str


@dataclass(slots=True, eq=False)
class ErasureNotFoundError(Exception):
    """There is no erasure of this id."""

    erasure_id: str
