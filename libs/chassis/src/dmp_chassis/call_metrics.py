"""How long calls take, by method and status: those that a server answers, and those that it makes to other services."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import grpc

from dmp_chassis.call_ids import REQUEST_ID, TRACEPARENT, request_id
from dmp_chassis.metrics import Metrics, histogram
from dmp_chassis.tracing import client_span, traceparent

if TYPE_CHECKING:  # generic in the stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_STATUS_NAMES: Final = tuple(code.name for code in grpc.StatusCode)
_OK: Final = "OK"
_CANCELLED: Final = "CANCELLED"
# The buckets of OpenTelemetry's conventions.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

SERVER_CALLS: Final = histogram(
    "rpc_server_call_duration_seconds",
    "How long the server took to answer a call; of a stream, how long it was open.",
    unit="seconds",
    labels={"rpc_method": None, "rpc_status_code": _STATUS_NAMES},
    buckets=_SECONDS,
)
CLIENT_CALLS: Final = histogram(
    "rpc_client_call_duration_seconds",
    "How long a call to another service took, as the caller saw it.",
    unit="seconds",
    labels={"rpc_method": None, "rpc_status_code": _STATUS_NAMES},
    buckets=_SECONDS,
)
OF_CALLS: Final = (SERVER_CALLS, CLIENT_CALLS)


def note_answered(metrics: Metrics, method: str, started: float, context: Context, *, returned: bool) -> str:
    """Notes a call that the server has answered. `method` is a registered one, with a slash in front. Returns the name
    of its status.

    started: by the monotonic clock. returned: whether the handler came to its end, or the call was given up or ended
    with an error.
    """
    # None until somebody ends the call with a status, which the stubs leave out.
    code: grpc.StatusCode | None = context.code()
    name = code.name if code else _OK if returned else _CANCELLED
    metrics.observe(SERVER_CALLS, time.monotonic() - started, method[1:], name)
    return name


def timed(channel: grpc.aio.Channel, metrics: Metrics) -> grpc.aio.Channel:
    """The channel, with every call of one request and one response measured. Such a call can only be awaited.

    A call that is made for a request takes its `x-request-id` along, and the `traceparent` of the current span.
    """
    return cast("grpc.aio.Channel", _TimedChannel(channel, metrics))


class _TimedChannel:
    def __init__(self, channel: grpc.aio.Channel, metrics: Metrics) -> None:
        self._channel = channel
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the channel has
        return getattr(self._channel, name)

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Awaitable[object]]:  # noqa: ANN401
        """As the channel's own."""
        call = cast("Callable[..., Awaitable[object]]", self._channel.unary_unary(method, *args, **kwargs))
        metrics = self._metrics

        async def measured(*given: object, **options: object) -> object:
            started, status = time.monotonic(), _CANCELLED
            try:
                with client_span(method[1:], {"rpc.system.name": "grpc", "rpc.method": method[1:]}):
                    if (along := _along()) and "metadata" not in options:
                        options["metadata"] = along
                    response = await call(*given, **options)
                status = _OK
            except grpc.aio.AioRpcError as error:
                status = error.code().name
                raise
            else:
                return response
            finally:
                metrics.observe(CLIENT_CALLS, time.monotonic() - started, method[1:], status)

        return measured


def _along() -> tuple[tuple[str, str], ...]:
    """What a call takes along of the request that it is made for."""
    ids = ((REQUEST_ID, request_id()), (TRACEPARENT, traceparent()))
    return tuple((name, value) for name, value in ids if value)
