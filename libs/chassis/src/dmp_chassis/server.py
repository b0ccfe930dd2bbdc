"""Starts a gRPC server with errors answered, health, reflection and limits; and runs one until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.errors import ErrorTable
from dmp_chassis.health import Check, DependencyHealth
from dmp_chassis.interceptors import ErrorInterceptor
from dmp_chassis.lifecycle import Callback, RunningServer
from dmp_chassis.requests import COMPRESSION_OPTIONS
from dmp_chassis.streams import MAX_STREAMS, StreamLimit

__all__ = ["Callback", "Check", "RunningServer", "run_server", "start_server"]

_LOG: Final = logging.getLogger(__name__)
_YOUNG_OBJECTS: Final = 50_000
_METADATA_BYTES: Final = 32 * 1024


async def start_server(
    *,
    service_names: Sequence[str],
    add_services: Callable[[grpc.aio.Server], None],
    table: ErrorTable,
    domain: str,
    listen: str = "127.0.0.1:0",
    checks: Mapping[str, Check] | None = None,
    degrading: Collection[str] = (),
    background: Sequence[Callback] = (),
    on_stop: Sequence[Callback] = (),
    on_close: Sequence[Callback] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_request_bytes: Mapping[str, int] | None = None,
    max_streams: int = MAX_STREAMS,
) -> RunningServer:
    """Starts serving; returns once the port is open, the health is known and the line `serving` is logged.

    service_names: full names of the services that `add_services` registers, for health and reflection.
    table, domain: what callers see of errors (`dmp_chassis.errors`); the domain is the one in every ErrorInfo.
    listen: `host:port`, port 0 for any, or `unix:/path`.
    checks: one for each dependency. All are critical, that is they decide whether the services are SERVING, but those
        in `degrading`. Polled every second; a dependency that is away does not keep the server from starting.
    background: loops that run until cancelled, in one TaskGroup; the end of one, whatever the reason, is a failure.
    on_stop, on_close: called at the end, before (flush) and after (close) the loops are cancelled.
    max_request_bytes: of an RPC by its name, `""` for all others; larger ones, inflated, are not parsed.
    interceptors: run inside the one that answers errors, so what their handlers raise is answered too.
    max_streams: how many streams of callers may be open at a time; one more is answered RESOURCE_EXHAUSTED.
    """
    server = grpc.aio.server(
        interceptors=(ErrorInterceptor(table, domain, max_request_bytes, StreamLimit(max_streams)), *interceptors),
        options=[
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            *COMPRESSION_OPTIONS,
            ("grpc.so_reuseport", 0),
            # The gateway and our own channels ping idle connections: never answer "too many pings".
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
            ("grpc.http2.max_ping_strikes", 0),
            # More than the 24 KiB that the gateway lets through: beyond the soft limit calls fail by chance.
            ("grpc.max_metadata_size", _METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
            # A peer that has vanished without a word is noticed.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ],
    )
    report = DependencyHealth(service_names, checks or {}, degrading=degrading)
    add_services(server)
    health_pb2_grpc.add_HealthServicer_to_server(report.servicer, server)
    reflection.enable_server_reflection((*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port(listen)
    await report.start()
    await server.start()
    _LOG.info("serving", extra={"port": port, "listen": listen})
    return RunningServer(server, report, port=port, background=background, on_stop=on_stop, on_close=on_close)


async def run_server(
    *,
    service_names: Sequence[str],
    add_services: Callable[[grpc.aio.Server], None],
    listen: str,
    table: ErrorTable,
    domain: str,
    checks: Mapping[str, Check] | None = None,
    degrading: Collection[str] = (),
    background: Sequence[Callback] = (),
    on_stop: Sequence[Callback] = (),
    on_close: Sequence[Callback] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    drain_seconds: float = 2.5,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_request_bytes: Mapping[str, int] | None = None,
    ready: Callable[[RunningServer], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then ends as `RunningServer` describes; a second signal cuts the draining short.

    The parameters are those of `start_server`. `drain_seconds` is the time the gateway needs to notice NOT_SERVING.
    `ready` is called once, when the port is open. When a background loop dies, the server ends in the same order and
    the loop's error is raised in an ExceptionGroup, so that the process exits non-zero.
    """
    told = asyncio.Event()
    running: RunningServer | None = None

    def tell() -> None:
        if told.is_set() and running is not None:
            running.hurry()
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    running = await start_server(
        service_names=service_names,
        add_services=add_services,
        listen=listen,
        table=table,
        domain=domain,
        checks=checks,
        degrading=degrading,
        background=background,
        on_stop=on_stop,
        on_close=on_close,
        interceptors=interceptors,
        max_message_bytes=max_message_bytes,
        max_request_bytes=max_request_bytes,
    )
    _collect_garbage_rarely()
    if ready is not None:
        ready(running)
    failure = asyncio.ensure_future(running.failed())
    stop = asyncio.ensure_future(told.wait())
    await asyncio.wait({failure, stop}, return_when=asyncio.FIRST_COMPLETED)
    if failure.done():
        stop.cancel()
        await running.close(drain_seconds=drain_seconds)
        failure.result()
    failure.cancel()
    await running.close(drain_seconds=drain_seconds)


def _collect_garbage_rarely() -> None:
    """Looks for cycles after 50,000 new containers instead of 700, and never again among what has been imported.

    Requests make many objects and few cycles: one batch of a thousand events would start the collector a dozen times,
    and now and then it would look through all that a service remembers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
