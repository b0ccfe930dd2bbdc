"""What can go wrong for a caller. Every error is a `DmpError`, so one `except` catches all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class DmpError(Exception):
    """Something did not work. The subclasses say what."""


class InvalidEventError(DmpError, ValueError):
    """`track()` was given something that can never be an event. Nothing was queued.

    field: the argument that is wrong, with the way into it (`metadata.price`).
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class SpoolFullError(DmpError):
    """The event was not queued: the spool holds as much as it may. Send more slowly, or allow it more bytes."""


class ClosedError(DmpError):
    """The client was closed before this call."""


class SpoolError(DmpError):
    """The spool's file cannot be used: it is no spool, or the directory cannot be written."""


class UnavailableError(DmpError):
    """No usable answer in time: the gateway is away, overloaded, or something else answers at its address.

    It is safe to ask again later.
    """


class RefusedError(DmpError):
    """DMP answered, and said no.

    http_status: of the answer.
    status: the error's name, such as `NOT_FOUND`.
    reason: the machine-readable reason, empty if there is none.
    violations: for each field that is wrong what is wrong with it.
    """

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        status: str = "",
        reason: str = "",
        violations: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.status = status
        self.reason = reason
        self.violations = dict(violations or {})


class NotFoundError(RefusedError):
    """There is no such person, event, merge or campaign (`404`)."""


class ConflictError(RefusedError):
    """There is a newer version already, or the two people were said to be different (`409`)."""


class NotAllowedError(RefusedError):
    """The API key is missing, unknown, or has not the scope (`401`, `403`)."""
