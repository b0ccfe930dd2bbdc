"""Ends a call with the status of an error, and logs what only we may know about it."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import grpc

from dmp_chassis.errors import ErrorTable, find_spec, retry_after, to_status
from dmp_chassis.outages import outage
from dmp_chassis.uuid7 import uuid7_text

if TYPE_CHECKING:  # generic in the stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_LOG: Final = logging.getLogger(__name__)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_OUTAGE_LOG_SECONDS: Final = 1.0


class ErrorAnswers:
    """How one server answers errors: its table, its domain, and when it last spoke of which outage."""

    def __init__(self, table: ErrorTable, domain: str) -> None:
        self._table = table
        self._domain = domain
        self._outage_logged: dict[str, float] = {}

    async def answer(self, error: Exception, context: Context, method: str) -> NoReturn:
        """Ends the call: always raises `grpc.aio.AbortError`, the handler's own if it has already ended the call."""
        error = _only_leaf(error)
        if isinstance(error, grpc.aio.AbortError):
            raise error
        metadata: dict[str, str] | None = None
        spec = find_spec(error, self._table)
        if spec is None:
            unavailable = outage(error)
            if unavailable is None:
                metadata = {"request_id": _request_id(context)}
                _LOG.error("unexpected error", exc_info=error, extra={"method": method, **metadata})
            else:
                self._log_outage(unavailable.dependency, error)
                error = unavailable
            spec = find_spec(error, self._table)
        status = to_status(error, self._table, self._domain, metadata=metadata)
        initial: list[tuple[str, str]] = []
        if spec is not None:
            if spec.http_status is not None:
                initial.append(("x-http-status", str(spec.http_status)))
            seconds = retry_after(error, spec)
            if seconds is not None:
                initial.append(("retry-after", _whole_seconds(seconds)))
        if initial:
            try:
                await context.send_initial_metadata(tuple(initial))
            except grpc.aio.BaseError:
                _LOG.debug("initial metadata had been sent before the error", extra={"method": method})
        details = ("grpc-status-details-bin", status.SerializeToString())
        await context.abort(_CODES[status.code], status.message, (details,))

    def _log_outage(self, dependency: str, error: Exception) -> None:
        """At most one line a second for each dependency: in an outage every call fails."""
        now = time.monotonic()
        if now - self._outage_logged.get(dependency, -_OUTAGE_LOG_SECONDS) >= _OUTAGE_LOG_SECONDS:
            self._outage_logged[dependency] = now
            extra = {"dependency": dependency, "error": f"{type(error).__name__}: {error}"}
            _LOG.warning("calls fail because a dependency is unavailable", extra=extra)


def _only_leaf(error: Exception) -> Exception:
    """The error inside groups that hold only one, as a TaskGroup makes them; else the group itself."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _request_id(context: Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and isinstance(value, str) and 0 < len(value) <= 128:
            return value
    return uuid7_text()


def _whole_seconds(seconds: float) -> str:
    """A delay as HTTP's `retry-after` spells it: whole seconds, rounded up, at least 1."""
    return str(max(1, math.ceil(seconds)))
