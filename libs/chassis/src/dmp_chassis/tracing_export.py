"""Sends spans to a collector, over OTLP and HTTP. Only what starts a service loads it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from dmp_chassis.tracing import use_tracer

_EVERY_MILLISECONDS: Final = 1_000
_QUEUED_SPANS: Final = 4_096
_SENT_AT_ONCE: Final = 512
_TIMEOUT_SECONDS: Final = 5


class TracingNotInstalledError(Exception):
    """The extra `dmp-chassis[otel]` is not installed."""


def start_tracing(service: str, endpoint: str) -> Callable[[], Awaitable[None]]:
    """Makes spans from now on and sends them to `endpoint`, the base URL of a collector. Returns what ends that.

    A thread sends them, once a second. While the collector is away spans are dropped, and the log says so. Variables of
    OpenTelemetry, such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES, count as its documentation says.
    Raises TracingNotInstalledError.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    except ImportError as error:
        raise TracingNotInstalledError from error
    provider = TracerProvider(
        sampler=ALWAYS_ON,  # the gateway has decided
        resource=Resource.create({"service.namespace": "dmp", "service.name": service}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUED_SPANS,
            schedule_delay_millis=_EVERY_MILLISECONDS,
            max_export_batch_size=_SENT_AT_ONCE,
        )
    )
    use_tracer(provider.get_tracer("dmp"))

    async def stop() -> None:
        """Sends what is left. Whoever cannot wait cancels it: the thread does not keep the process."""
        use_tracer(None)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def shut_down() -> None:
            provider.shutdown()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        await ended.wait()

    return stop
