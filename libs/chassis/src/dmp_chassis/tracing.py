"""Spans of the requests that the gateway has chosen to trace, for OpenTelemetry.

The gateway decides: a service makes spans only for a call whose `traceparent` says "sampled", and for what is done in
that call. Where many requests share work (a group of events, batches that are applied together) that work has one
span, which is linked to theirs. While tracing is off nothing is read and nothing is loaded: OpenTelemetry is the extra
`dmp-chassis[otel]` (ADR 0406).

A span has no text of an exception and no value that a caller sent: only names, numbers and types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from dmp_chassis import call_ids

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer

Attributes: TypeAlias = Mapping[str, str | int | bool]

REDIS: Final[Attributes] = {"db.system.name": "redis"}
POSTGRES: Final[Attributes] = {"db.system.name": "postgresql"}
MOST_LINKS: Final = 128
"""What OpenTelemetry keeps of a span by default."""
_OUR_FAULT: Final = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""What OpenTelemetry's conventions call a failure of the server."""

_SPAN: Final[ContextVar[Span | None]] = ContextVar("dmp_span", default=None)


class _Tracing:
    tracer: Tracer | None = None


_TRACING: Final = _Tracing()


def use_tracer(tracer: Tracer | None) -> None:
    """Makes spans with this tracer from now on; with None no more."""
    _TRACING.tracer = tracer


def current() -> Span | None:
    """The span that this task works for, None if nobody asked for one or it has ended."""
    span = _SPAN.get()
    return span if span is not None and span.is_recording() else None


def trace_id() -> str:
    """The id of the trace that this task works for; empty if there is none."""
    span = _SPAN.get()
    return format(span.get_span_context().trace_id, "032x") if span is not None else ""


def traceparent() -> str:
    """What names the current span to another service (W3C Trace Context); empty if there is none."""
    span = current()
    if span is None:
        return ""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class InSpan:
    """A block that works for this span, which ends with it unless it `goes_on`. None: a block without a span."""

    __slots__ = ("_before", "_goes_on", "_span")

    def __init__(self, span: Span | None, *, goes_on: bool = False) -> None:
        self._span = span
        self._goes_on = goes_on
        self._before: Span | None = None

    def __enter__(self) -> Span | None:
        self._before = _SPAN.get()
        _SPAN.set(self._span)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not by a token: a block of a generator may end in another task.
        _SPAN.set(self._before)
        if self._span is not None and not self._goes_on:
            end(self._span, error_type="" if kind is None else kind.__name__)


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


_NOTHING: Final = _Nothing()


def end(span: Span | None, *, error_type: str = "") -> None:
    """Ends a span, as a failure if there is the type of an error."""
    if span is None:
        return
    if error_type:
        from opentelemetry.trace import Status, StatusCode

        span.set_attribute("error.type", error_type)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def span(name: str, attributes: Attributes | None = None) -> InSpan | _Nothing:
    """A block of work of our own that belongs to the current span; nothing if there is none."""
    return _child(name, "INTERNAL", attributes)


def client_span(name: str, attributes: Attributes | None = None) -> InSpan | _Nothing:
    """The same for a block that waits for a database or another service."""
    return _child(name, "CLIENT", attributes)


def joined_span(name: str, spans: Sequence[Span | None], *, goes_on: bool = False) -> InSpan | _Nothing:
    """A block that works for all of these spans, or for none: what the task worked for does not count.

    It belongs to the first of them, and is linked to all, in both directions. Links beyond MOST_LINKS are left out.
    """
    if _TRACING.tracer is None:
        return _NOTHING
    asking = [each for each in spans if each is not None and each.is_recording()]
    if not asking:
        return InSpan(None)
    from opentelemetry.trace import Link

    links = [Link(each.get_span_context()) for each in asking[:MOST_LINKS]]
    made = _start(name, "INTERNAL", parent=asking[0], attributes={"dmp.joined": len(spans)}, links=links)
    for each in asking[:MOST_LINKS]:
        each.add_link(made.get_span_context())
    return InSpan(made, goes_on=goes_on)


def continued_span(name: str, parent: str) -> InSpan | _Nothing:
    """A block that goes on with what this `traceparent` names; nothing if it is empty or not sampled."""
    span = _start_remote(name, "CONSUMER", parent, {})
    return _NOTHING if span is None else InSpan(span)


def followed_span(name: str, parents: Sequence[str]) -> InSpan | _Nothing:
    """A block that goes on with all that these `traceparent`s name, also where that has ended.

    It belongs to the first of them and is linked to all; nothing if there are none. Links beyond MOST_LINKS are left
    out.
    """
    contexts = [context for parent in parents[:MOST_LINKS] if (context := _sampled(parent)) is not None]
    if _TRACING.tracer is None or not contexts:
        return _NOTHING
    from opentelemetry.trace import Link, NonRecordingSpan

    links = [Link(context) for context in contexts]
    joined = {"dmp.joined": len(parents)}
    return InSpan(_start(name, "INTERNAL", parent=NonRecordingSpan(contexts[0]), attributes=joined, links=links))


class Noted:
    """By a key of its own, the `traceparent` of work with which something goes on later in this process.

    Beyond `most` of them the oldest are forgotten: what goes on with those is not traced.
    """

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._noted: dict[str | int, str] = {}

    def note(self, key: str | int) -> None:
        """Remembers the current span, if there is one."""
        if _TRACING.tracer is None or not (parent := traceparent()):
            return
        while len(self._noted) >= self._most:
            del self._noted[next(iter(self._noted))]
        self._noted[key] = parent

    def of(self, key: str | int) -> str:
        """What was noted, empty if nothing was."""
        return self._noted.get(key, "")

    def forget(self, key: str | int) -> None:
        """Forgets what was noted, if anything was."""
        self._noted.pop(key, None)

    def take_all(self) -> list[str]:
        """All that is noted, the oldest first; it is forgotten."""
        noted, self._noted = self._noted, {}
        return list(noted.values())


def begin_call(method: str) -> Span | None:
    """Begins the span of the call that `call_ids` knows, and makes it the current one of this task."""
    if _TRACING.tracer is None:
        return None
    name = method[1:]
    begun = _start_remote(name, "SERVER", call_ids.traceparent(), {"rpc.system.name": "grpc", "rpc.method": name})
    if begun is not None:
        _SPAN.set(begun)
    return begun


def end_call(span: Span, status: str) -> None:
    """Ends the span of a call with the name of its status."""
    span.set_attribute("rpc.status_code", status)
    end(span, error_type=status if status in _OUR_FAULT else "")


def _child(name: str, kind: str, attributes: Attributes | None) -> InSpan | _Nothing:
    parent = current()
    if parent is None or _TRACING.tracer is None:
        return _NOTHING
    return InSpan(_start(name, kind, parent=parent, attributes=attributes or {}))


def _start_remote(name: str, kind: str, parent: str, attributes: Attributes) -> Span | None:
    context = _sampled(parent)
    if context is None:
        return None
    from opentelemetry.trace import NonRecordingSpan

    return _start(name, kind, parent=NonRecordingSpan(context), attributes=attributes)


def _sampled(parent: str) -> SpanContext | None:
    """What a `traceparent` names, if tracing is on and somebody has chosen it."""
    if _TRACING.tracer is None or not parent:
        return None
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace, span, flags = parent.split("-")
    context = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return context if context.is_valid and context.trace_flags.sampled else None


def _start(name: str, kind: str, *, parent: Span, attributes: Attributes, links: Sequence[Any] | None = None) -> Span:
    from opentelemetry.trace import SpanKind, set_span_in_context

    assert _TRACING.tracer is not None
    of_kind: SpanKind = SpanKind[kind]
    # Without a context of its own: whatever OpenTelemetry knows of this task comes from somebody else.
    from opentelemetry.context import Context

    context = set_span_in_context(parent, Context())
    return _TRACING.tracer.start_span(name, context=context, kind=of_kind, attributes=attributes, links=links)
