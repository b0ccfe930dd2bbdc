"""The one interceptor of every server: whatever a handler raises becomes a status that says only what it may."""

from __future__ import annotations

import contextlib
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import grpc

from dmp_chassis.call_ids import begin_call
from dmp_chassis.call_metrics import note_answered
from dmp_chassis.callers import CallerCheck, key_of
from dmp_chassis.error_answers import ErrorAnswers
from dmp_chassis.errors import ErrorTable
from dmp_chassis.metrics import Metrics
from dmp_chassis.requests import MAX_STREAMED_BYTES, RequestReader
from dmp_chassis.streams import StreamLimit
from dmp_chassis.tracing import begin_call as begin_span
from dmp_chassis.tracing import end_call as end_span

if TYPE_CHECKING:  # generic in the stubs only
    from dmp_chassis.error_answers import Context

    _Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
    _Read: TypeAlias = Callable[[Any], Awaitable[object]]
    _Place: TypeAlias = Callable[[Context], contextlib.AbstractContextManager[object]]

_LOG: Final = logging.getLogger(__name__)
_PARTS_MARK: Final = "__dmp_answers_in_parts__"
_QUIET_PREFIX: Final = "/grpc.health."
"""Not in the access log, which is at debug level."""
_UNCOUNTED_PREFIX: Final = "/grpc."

_Method = TypeVar("_Method", bound=Callable[..., Any])


def answers_in_parts(method: _Method) -> _Method:
    """Marks a stream that is one answer, sent in parts and bounded by its service: it is not counted among the streams.

    Others stay open for as long as their callers like.
    """
    setattr(method, _PARTS_MARK, True)
    return method


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Answers errors of all four kinds of RPC.

    * a `DomainError` with an entry in `table`: its status with details, `x-http-status` and `retry-after` as initial
      metadata
    * a request that protobuf cannot parse, or of more than `max_request_bytes` once inflated: INVALID_ARGUMENT
    * a database, cache or service that does not answer: UNAVAILABLE
    * a stream beyond those that `streams` allows, to all or to one key (health and reflection are not counted):
      RESOURCE_EXHAUSTED
    * a caller that `callers` does not believe, before its message is read: PERMISSION_DENIED
    * anything else: INTERNAL, "internal error" and a request id, logged once with its traceback under the same id

    Lines that are logged while a call is answered have its request id and trace id.

    Each call is measured, by method and status, and has a span if the gateway has chosen it to be traced.

    `grpc.aio.AbortError` and cancellation pass untouched. Handlers are coroutine functions or asynchronous generators.
    """

    def __init__(
        self,
        table: ErrorTable,
        domain: str,
        max_request_bytes: Mapping[str, int] | None = None,
        streams: StreamLimit | None = None,
        callers: CallerCheck | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`max_request_bytes`: for an RPC by its name, such as `GetProfile`; `""` for all others of any service. Not
        for streams: each of their messages has at most MAX_STREAMED_BYTES.

        callers: None believes everybody, where nobody shows a certificate.
        """
        self._answers = ErrorAnswers(table, domain)
        self._max_request_bytes = max_request_bytes or {}
        self._streams = streams or StreamLimit()
        self._require = callers.require if callers is not None else None
        self._metrics = metrics or Metrics()
        # One entry per method, made at its first call: the handler as registered and the guarded one.
        self._guarded: dict[str, tuple[_Handler, _Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """The guarded handler of the method that is called; None, like the original, if there is none."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        known = self._guarded.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        if handler is None:
            return None
        guarded = self._guard(handler, method)
        self._guarded[method] = (handler, guarded)
        return guarded

    def _guard(self, handler: _Handler, method: str) -> _Handler:
        function = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        logged = not method.startswith(_QUIET_PREFIX)
        streams = handler.request_streaming or handler.response_streaming
        place: _Place = contextlib.nullcontext
        name = method.rpartition("/")[2]
        if streams and not method.startswith(_UNCOUNTED_PREFIX) and not getattr(function, _PARTS_MARK, False):
            place = self._place_of_a_stream
        limits = self._max_request_bytes
        most = MAX_STREAMED_BYTES if handler.request_streaming else limits.get(name, limits.get("", 0))
        reader = RequestReader(handler.request_deserializer, most)
        # A stream's requests are read within the handler's iteration, so what that raises is answered. A single one is
        # read by the guard: what gRPC's library calls before the handler can answer nothing.
        read = None if handler.request_streaming else reader.read
        parse = reader.read_now if handler.request_streaming else None
        behaviour: Callable[..., Any]
        if inspect.isasyncgenfunction(function):
            behaviour = self._guard_generator(function, method, logged, place, read)
        elif inspect.iscoroutinefunction(function):
            behaviour = self._guard_coroutine(function, method, logged, place, read)
        else:
            raise TypeError(f"{method} is neither a coroutine function nor an asynchronous generator function")
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[bool(handler.request_streaming), bool(handler.response_streaming)]
        return make(behaviour, request_deserializer=parse, response_serializer=handler.response_serializer)

    def _place_of_a_stream(self, context: Context) -> contextlib.AbstractContextManager[None]:
        return self._streams.one(key_of(context))

    def _guard_coroutine(
        self, function: Callable[..., Awaitable[Any]], method: str, logged: bool, place: _Place, read: _Read | None
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        answer, require, metrics = self._answers.answer, self._require, self._metrics

        async def guarded(request: object, context: Context) -> object:
            begin_call(context)
            span = begin_span(method)
            started, returned = time.monotonic(), False
            try:
                if require is not None:
                    require(context, method)
                if read is not None:
                    request = await read(request)
                with place(context):
                    response = await function(request, context)
                returned = True
            except Exception as error:  # noqa: BLE001 -- the place where all of them are answered
                await answer(error, context, method)
            else:
                return response
            finally:
                status = note_answered(metrics, method, started, context, returned=returned)
                if span is not None:
                    end_span(span, status)
                if logged and _LOG.isEnabledFor(logging.DEBUG):
                    _log_access(method, started)

        return guarded

    def _guard_generator(
        self, function: Callable[..., AsyncGenerator[Any]], method: str, logged: bool, place: _Place, read: _Read | None
    ) -> Callable[[Any, Context], AsyncGenerator[Any]]:
        answer, require, metrics = self._answers.answer, self._require, self._metrics

        async def guarded(request: object, context: Context) -> AsyncGenerator[Any]:
            begin_call(context)
            span = begin_span(method)
            started, returned = time.monotonic(), False
            responses = None
            try:
                if require is not None:
                    require(context, method)
                if read is not None:
                    request = await read(request)
                with place(context):
                    responses = function(request, context)
                    async for response in responses:
                        yield response
                returned = True
            except Exception as error:  # noqa: BLE001 -- the place where all of them are answered
                await answer(error, context, method)
            finally:
                if responses is not None:
                    await responses.aclose()
                status = note_answered(metrics, method, started, context, returned=returned)
                if span is not None:
                    end_span(span, status)
                if logged and _LOG.isEnabledFor(logging.DEBUG):
                    _log_access(method, started)

        return guarded


def _log_access(method: str, started: float) -> None:
    _LOG.debug("call", extra={"method": method, "milliseconds": round((time.monotonic() - started) * 1000, 3)})
