"""The one interceptor of every server: turns whatever a handler raises into a status that says only what it may."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar

import grpc

from dmp_chassis.errors import (
    DomainError,
    ErrorTable,
    FieldViolation,
    InvalidArgument,
    find_spec,
    retry_after,
    to_status,
)
from dmp_chassis.http_body import whole_seconds
from dmp_chassis.outages import outage
from dmp_chassis.uuid7 import uuid7_text

_LOG: Final = logging.getLogger(__name__)
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_UNPARSEABLE: Final = object()

if TYPE_CHECKING:  # generic in the stubs only
    _Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
    _Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def without_access_log(method: _Method) -> _Method:
    """Marks an RPC's method as exempt from the (debug level) access log: health checks and the like."""
    method.__dmp_without_access_log__ = True  # type: ignore[attr-defined]  # a mark on a function object
    return method


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Answers errors of all four kinds of RPC.

    * a `DomainError` with an entry in `table`: its status with details; `x-http-status` and `retry-after` as initial metadata
    * a request that protobuf cannot parse: INVALID_ARGUMENT
    * a database, cache or service that does not answer: UNAVAILABLE
    * anything else: INTERNAL, "internal error" and a request id, logged once with its traceback under the same id

    `grpc.aio.AbortError` and cancellation pass untouched. Handlers are coroutine functions or asynchronous generators.
    """

    def __init__(self, table: ErrorTable, domain: str) -> None:
        self._table = table
        self._domain = domain
        # One entry per method, made at its first call: the handler as registered and the guarded one.
        self._guarded: dict[str, tuple[_Handler, _Handler]] = {}
        self._outage_logged: dict[str, float] = {}

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
        parse = handler.request_deserializer
        if handler.request_streaming:
            deserializer = None if parse is None else _raising(parse)
        else:
            deserializer = None if parse is None else _marking(parse)
        function = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        logged = not (getattr(function, "__dmp_without_access_log__", False) or method.startswith("/grpc.health."))
        if inspect.isasyncgenfunction(function):
            behaviour: Callable[..., Any] = self._guard_generator(function, method, logged)
        elif inspect.iscoroutinefunction(function):
            behaviour = self._guard_coroutine(function, method, logged)
        else:
            raise TypeError(f"{method}: the handler must be a coroutine function or an asynchronous generator function")
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[bool(handler.request_streaming), bool(handler.response_streaming)]
        return make(behaviour, request_deserializer=deserializer, response_serializer=handler.response_serializer)

    def _guard_coroutine(
        self, function: Callable[..., Awaitable[Any]], method: str, logged: bool
    ) -> Callable[[Any, _Context], Awaitable[Any]]:
        async def guarded(request: Any, context: _Context) -> Any:
            started = time.monotonic() if logged and _LOG.isEnabledFor(logging.DEBUG) else 0.0
            try:
                if request is _UNPARSEABLE:
                    raise _unparseable()
                return await function(request, context)
            except Exception as error:
                await self._answer(error, context, method)
            finally:
                if started:
                    _log_access(method, started)

        return guarded

    def _guard_generator(
        self, function: Callable[..., AsyncIterator[Any]], method: str, logged: bool
    ) -> Callable[[Any, _Context], AsyncIterator[Any]]:
        async def guarded(request: Any, context: _Context) -> AsyncIterator[Any]:
            started = time.monotonic() if logged and _LOG.isEnabledFor(logging.DEBUG) else 0.0
            responses: Any = None
            try:
                if request is _UNPARSEABLE:
                    raise _unparseable()
                responses = function(request, context)
                async for response in responses:
                    yield response
            except Exception as error:
                await self._answer(error, context, method)
            finally:
                if responses is not None:
                    await responses.aclose()
                if started:
                    _log_access(method, started)

        return guarded

    async def _answer(self, error: Exception, context: _Context, method: str) -> NoReturn:
        """Ends the RPC with the status of the error. Raises `grpc.aio.AbortError`, always."""
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
                initial.append(("retry-after", whole_seconds(seconds)))
        if initial:
            try:
                await context.send_initial_metadata(tuple(initial))
            except grpc.aio.BaseError:
                _LOG.debug("initial metadata had been sent before the error", extra={"method": method})
        await context.abort(_CODES[status.code], status.message, ((_STATUS_DETAILS, status.SerializeToString()),))

    def _log_outage(self, dependency: str, error: Exception) -> None:
        """At most one line a second for each dependency: in an outage every call fails."""
        now = time.monotonic()
        if now - self._outage_logged.get(dependency, 0.0) >= 1.0:
            self._outage_logged[dependency] = now
            _LOG.warning("dependency unavailable", extra={"dependency": dependency, "error": f"{type(error).__name__}: {error}"})


def _marking(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """For a single request: the parser runs before the handler, where nothing could be answered, so it leaves a mark."""

    def parse_or_mark(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:
            return _UNPARSEABLE

    return parse_or_mark


def _raising(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """For a stream of requests: the parser runs inside the handler's iteration, so it may raise what is answered."""

    def parse_or_raise(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:
            raise _unparseable() from None

    return parse_or_raise


def _unparseable() -> DomainError:
    return InvalidArgument([FieldViolation(field="", description="the request is not a valid message of its type")])


def _only_leaf(error: Exception) -> Exception:
    """The error inside groups that hold only one, as a TaskGroup makes them; else the group itself."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _request_id(context: _Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "x-request-id" and isinstance(value, str) and 0 < len(value) <= 128:
            return value
    return uuid7_text()


def _log_access(method: str, started: float) -> None:
    _LOG.debug("call", extra={"method": method, "milliseconds": round((time.monotonic() - started) * 1000, 3)})
