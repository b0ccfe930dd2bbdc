"""Ends a call with the status of an error, and logs what only we may know about it.

One line for each answer that is our fault: at level error with its traceback if nobody foresaw it, at level warning if
something is away or full. What a caller did wrong is a line at debug level. None holds what a caller sent.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import grpc

from dmp_chassis.call_ids import request_id
from dmp_chassis.errors import ErrorSpec, ErrorTable, find_spec, retry_after, to_status
from dmp_chassis.outages import outage
from dmp_chassis.uuid7 import uuid7_text

if TYPE_CHECKING:  # generic in the stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_LOG: Final = logging.getLogger(__name__)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_OURS: Final = frozenset(
    {
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)


class ErrorAnswers:
    """How one server answers errors: its table and its domain."""

    def __init__(self, table: ErrorTable, domain: str) -> None:
        self._table = table
        self._domain = domain

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
                metadata = {"request_id": request_id() or uuid7_text()}
                _LOG.error("unexpected error", exc_info=error, extra={"method": method, **metadata})
            else:
                _log_outage(unavailable.dependency, error, method)
                error = unavailable
            spec = find_spec(error, self._table)
        else:
            _log_answer(error, spec, method)
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


def _log_outage(dependency: str, error: Exception, method: str) -> None:
    extra = {"method": method, "dependency": dependency, "error": f"{type(error).__name__}: {error}"}
    _LOG.warning("a call failed because a dependency is unavailable", extra=extra)


def _log_answer(error: Exception, spec: ErrorSpec, method: str) -> None:
    """An answer that the table has. One with a time after which to try again says that we have no room."""
    no_room = spec.code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after(error, spec) is not None
    level = logging.WARNING if no_room or spec.code in _OURS else logging.DEBUG
    if _LOG.isEnabledFor(level):
        extra = {"method": method, "code": spec.code.name, "reason": spec.reason}
        _LOG.log(level, "a call was answered with an error", extra=extra)


def _only_leaf(error: Exception) -> Exception:
    """The error inside groups that hold only one, as a TaskGroup makes them; else the group itself."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _whole_seconds(seconds: float) -> str:
    """A delay as HTTP's `retry-after` spells it: whole seconds, rounded up, at least 1."""
    return str(max(1, math.ceil(seconds)))
