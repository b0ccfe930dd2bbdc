"""For which request a task works: log lines say so, and calls to other services pass it on.

Nothing is read until somebody asks: most calls log nothing and call nobody.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, Final, Protocol

REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class _Call(Protocol):
    def invocation_metadata(self) -> Any:  # noqa: ANN401 -- the stubs do not agree with the library
        """The metadata of the call, as pairs."""


_CALL: Final[ContextVar[_Call | None]] = ContextVar("dmp_call", default=None)


def begin_call(context: _Call) -> None:
    """This task, and those that it starts, work for this call from now on. gRPC's library has a task for each call."""
    _CALL.set(context)


def request_id() -> str:
    """The `x-request-id` that the gateway gave the request; empty if there is no call, or it has none."""
    return found[0] if (found := _REQUEST_ID.fullmatch(_metadata(REQUEST_ID))) else ""


def trace_id() -> str:
    """The trace that the request belongs to, whether it is sampled or not; empty if there is none."""
    return found[1] if (found := _TRACEPARENT.fullmatch(_metadata(TRACEPARENT))) else ""


def traceparent() -> str:
    """The span of the caller as it came (W3C Trace Context); empty if there is none, or it is not valid."""
    return found[0] if (found := _TRACEPARENT.fullmatch(_metadata(TRACEPARENT))) else ""


def call_ids() -> dict[str, str]:
    """Both of them by name, those that there are."""
    if _CALL.get() is None:
        return {}
    return {name: value for name, value in (("request_id", request_id()), ("trace_id", trace_id())) if value}


def _metadata(name: str) -> str:
    call = _CALL.get()
    if call is None:
        return ""
    return next(
        (value for key, value in call.invocation_metadata() or () if key == name and isinstance(value, str)), ""
    )
