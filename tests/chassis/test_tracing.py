"""Spans: only for calls that were chosen, of what belongs to them, and without a word of what was said."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dmp_chassis import tracing
from dmp_chassis.call_metrics import timed
from dmp_chassis.logging import JsonFormatter, _note_ids
from dmp_chassis.metrics import Metrics
from dmp_chassis.tracing_export import TracingNotInstalledError, start_tracing
from tests.chassis.echo_service import KINDS, SERVICE, call, failure, serving
from tests.chassis.guarded_handlers import ECHOES, SECRET
from tests.conditions import eventually
from tests.otlp import collecting

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SAMPLED = [("traceparent", f"00-{TRACE}-{CALLER}-01")]


class Spans:
    """Those that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        tracing.use_tracer(provider.get_tracer("test"))

    @property
    def ended(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    async def named(self, name: str) -> ReadableSpan:
        """The one with this name, once it has ended."""
        await eventually(lambda: any(each.name == name for each in self.ended))
        (found,) = [each for each in self.ended if each.name == name]
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    yield Spans()
    tracing.use_tracer(None)


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format(span.context.span_id, "016x")


def parent_of(span: ReadableSpan) -> str:
    return "" if span.parent is None else format(span.parent.span_id, "016x")


def linked(span: ReadableSpan) -> list[str]:
    return [format(link.context.span_id, "016x") for link in span.links]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_chosen_call_has_a_span_below_that_of_its_caller(kind: str, spans: Spans) -> None:
    async with serving({"M": ECHOES[kind]}, kind) as (_, to_server):
        await call(to_server, "M", "hello", kind=kind, metadata=SAMPLED)
        span = await spans.named(f"{SERVICE}/M")
    assert span.context is not None
    assert (format(span.context.trace_id, "032x"), parent_of(span)) == (TRACE, CALLER)
    assert dict(span.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/M",
        "rpc.status_code": "OK",
    }
    assert span.status.is_ok


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("traceparent", f"00-{TRACE}-{CALLER}-00")],
        [("traceparent", f"00-{'0' * 32}-{CALLER}-01")],
        [("traceparent", "00-00-00-01")],
        [("traceparent", SAMPLED[0][1] + "-more")],
    ],
)
async def test_a_call_that_was_not_chosen_has_none(metadata: list[tuple[str, str]], spans: Spans) -> None:
    async def method(request: StringValue, context: object) -> StringValue:
        with tracing.span("within"):
            return StringValue(value=tracing.traceparent())

    async with serving({"M": method}) as (_, to_server):
        assert await call(to_server, "M", metadata=metadata) == [""]
        await call(to_server, "M", metadata=SAMPLED)
        await spans.named(f"{SERVICE}/M")
    assert len(spans.ended) == 2


async def test_a_failure_is_marked_and_its_text_is_nowhere(spans: Spans) -> None:
    async def method(request: StringValue, context: object) -> StringValue:
        with tracing.span("within"):
            raise RuntimeError(SECRET)

    async with serving({"M": method}) as (_, to_server):
        await failure(to_server, "M", metadata=SAMPLED)
        span = await spans.named(f"{SERVICE}/M")
    within = await spans.named("within")
    assert [(each.status.is_ok, (each.attributes or {})["error.type"]) for each in (within, span)] == [
        (False, "RuntimeError"),
        (False, "INTERNAL"),
    ]
    assert SECRET not in "".join(each.to_json() for each in spans.ended)


async def test_a_callers_mistake_is_no_failure_of_the_span(spans: Spans) -> None:
    async with serving({"M": ECHOES["unary_unary"]}) as (_, to_server):
        await failure(to_server, "M", b"\x0a\x02\xff\xfe", metadata=SAMPLED)
        span = await spans.named(f"{SERVICE}/M")
    assert span.status.is_ok
    assert (span.attributes or {})["rpc.status_code"] == "INVALID_ARGUMENT"


async def test_a_call_to_another_service_goes_on_with_the_trace(spans: Spans) -> None:
    async with serving({"Behind": ECHOES["unary_unary"]}) as (_, behind):
        other = timed(behind, Metrics()).unary_unary(
            f"/{SERVICE}/Behind", StringValue.SerializeToString, StringValue.FromString
        )

        async def ask(request: StringValue, context: object) -> StringValue:
            response: StringValue = await other(request, timeout=10)
            return response

        async with serving({"Ask": ask}) as (_, to_server):
            await call(to_server, "Ask", metadata=SAMPLED)
            asking = await spans.named(f"{SERVICE}/Ask")
    client, server = sorted(
        (each for each in spans.ended if each.name == f"{SERVICE}/Behind"), key=lambda each: each.kind.name
    )
    assert [parent_of(each) for each in (client, server)] == [id_of(asking), id_of(client)]


async def test_shared_work_has_one_span_with_links_in_both_directions(spans: Spans) -> None:
    calls = [begun(name) for name in ("one", "two", "three")]
    with tracing.joined_span("shared", [calls[0], None, calls[1], calls[2]]), tracing.span("part"):
        pass
    for each in calls:
        tracing.end(each)
    part, shared, *ended = spans.ended
    assert (part.name, parent_of(part)) == ("part", id_of(shared))
    assert parent_of(shared) == id_of(ended[0])
    assert linked(shared) == [id_of(each) for each in ended]
    assert [linked(each) for each in ended] == [[id_of(shared)]] * 3
    assert (shared.attributes or {})["dmp.joined"] == 4


async def test_shared_work_of_nobody_that_is_traced_does_not_belong_to_who_began_it(spans: Spans) -> None:
    with tracing.InSpan(begun("another")), tracing.joined_span("shared", [None, None]), tracing.span("part"):
        assert tracing.current() is None
    assert [each.name for each in spans.ended] == ["another"]


async def test_what_goes_on_after_a_call_has_no_spans(spans: Spans) -> None:
    with tracing.InSpan(begun("call")):
        go_on = asyncio.Event()

        async def later() -> None:
            await go_on.wait()
            with tracing.span("late"):
                pass

        task = asyncio.create_task(later())
    go_on.set()
    await task
    assert [each.name for each in spans.ended] == ["call"]


async def test_a_group_is_linked_to_so_many_requests_at_most(spans: Spans) -> None:
    calls = [begun(f"call {n}") for n in range(tracing.MOST_LINKS + 10)]
    with tracing.joined_span("shared", calls):
        pass
    (shared,) = spans.ended
    assert len(shared.links) == tracing.MOST_LINKS
    assert (shared.attributes or {})["dmp.joined"] == len(calls)


async def test_what_is_done_later_goes_on_with_all_that_was_noted(spans: Spans) -> None:
    noted = tracing.Noted(most=2)
    for key in ("forgotten", "one", "two"):
        with tracing.InSpan(begun(key)):
            noted.note(key)
    noted.note("nobody is traced here")
    assert noted.of("forgotten") == noted.of("nobody is traced here") == ""
    assert noted.of("two").split("-")[2] == id_of(spans.ended[2])
    with tracing.followed_span("later", noted.take_all()), tracing.span("part"):
        pass
    _, one, two, part, later = spans.ended
    assert [parent_of(each) for each in (part, later)] == [id_of(later), id_of(one)]
    assert linked(later) == [id_of(one), id_of(two)]
    with tracing.followed_span("nothing is left", noted.take_all()) as nothing:
        assert nothing is None


async def test_what_was_not_chosen_is_not_gone_on_with(spans: Spans) -> None:
    with tracing.followed_span("later", [SAMPLED[0][1].removesuffix("01") + "00", ""]) as nothing:
        assert nothing is None
    assert spans.ended == ()


async def test_a_line_of_shared_work_has_the_trace_id(spans: Spans) -> None:
    record = logging.getLogger("x").makeRecord("x", logging.INFO, "f.py", 1, "m", (), None)
    with tracing.InSpan(begun("call")):
        assert contextvars.copy_context().run(_note_ids, record)
    assert json.loads(JsonFormatter("ingest").format(record))["trace_id"] == TRACE


def begun(name: str) -> Any:  # noqa: ANN401 -- a span
    """A span below the caller's that goes on."""
    return tracing._start_remote(name, "SERVER", SAMPLED[0][1], {})


async def test_spans_reach_a_collector_before_the_end() -> None:
    with collecting() as collector:
        stop = start_tracing("ingest", collector.url)
        with tracing.continued_span("work", SAMPLED[0][1]):
            pass
        await stop()
        assert [(each.service, each.name, each.parent) for each in collector.spans] == [("ingest", "work", CALLER)]
    with tracing.continued_span("more", SAMPLED[0][1]) as span:
        assert span is None


async def test_without_the_extra_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracingNotInstalledError):
        start_tracing("ingest", "http://127.0.0.1:1")


@pytest.mark.parametrize("context", ["ingest", "identity", "stats"])
async def test_nothing_is_loaded_while_it_is_off(context: str) -> None:
    # Redis' client loads what there is of OpenTelemetry's metrics, and uses none of it.
    ours = {"opentelemetry.sdk.trace", "opentelemetry.exporter", "requests"}
    program = f"import sys, dmp_{context}.app; sys.exit(str(sorted({ours} & sys.modules.keys())))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=subprocess.PIPE)
    _, said = await process.communicate()
    assert said.strip() == b"[]"
