"""The life of a gRPC server: start, health, background loops, and an end that loses no request.

Order at the end: health NOT_SERVING; wait until the gateway has noticed; refuse new calls and let running ones finish; `on_stop` while
the background loops still run; cancel the loops; `on_close`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.errors import ErrorTable
from dmp_chassis.health import DependencyHealth
from dmp_chassis.interceptors import ErrorInterceptor

_LOG: Final = logging.getLogger(__name__)
_CALLBACK_SECONDS: Final = 3.0

Callback: TypeAlias = Callable[[], Awaitable[None]]


class RunningServer:
    """A server that is serving, until `close`. An asynchronous context manager that closes without draining."""

    def __init__(
        self,
        server: grpc.aio.Server,
        health_report: DependencyHealth,
        *,
        port: int,
        background: Sequence[Callback],
        on_stop: Sequence[Callback],
        on_close: Sequence[Callback],
    ) -> None:
        self.port = port
        """The TCP port in use; 0 for a unix socket."""
        self._server = server
        self._health = health_report
        self._on_stop = on_stop
        self._on_close = on_close
        self._loops = asyncio.ensure_future(self._run_loops((health_report.poll, *background)))
        self._closing = False

    @property
    def address(self) -> str:
        """Where a client on this machine reaches the server."""
        return f"127.0.0.1:{self.port}"

    async def failed(self) -> None:
        """Returns only by raising: the ExceptionGroup with the error of the background loop that died."""
        await asyncio.shield(self._loops)

    async def close(self, *, drain_seconds: float = 0.0, grace_seconds: float = 3.0) -> None:
        """Ends in the order described above. Safe to call twice; errors of callbacks are logged, not raised."""
        if self._closing:
            return
        self._closing = True
        await self._health.stop()
        _LOG.info("draining", extra={"port": self.port})
        await asyncio.sleep(drain_seconds)
        await self._server.stop(grace_seconds)
        await _call_all(self._on_stop)
        self._loops.cancel()
        await asyncio.wait({self._loops})
        await _call_all(self._on_close)
        _LOG.info("stopped", extra={"port": self.port})

    async def __aenter__(self) -> RunningServer:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _run_loops(self, loops: Sequence[Callback]) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(self._run_for_ever(loop))

    async def _run_for_ever(self, loop: Callback) -> None:
        await loop()
        raise RuntimeError(f"background loop {getattr(loop, '__qualname__', loop)!r} has ended")


async def start_server(
    *,
    service_names: Sequence[str],
    add_services: Callable[[grpc.aio.Server], None],
    table: ErrorTable,
    domain: str,
    listen: str = "127.0.0.1:0",
    checks: Mapping[str, Callback] | None = None,
    degrading: Collection[str] = (),
    background: Sequence[Callback] = (),
    on_stop: Sequence[Callback] = (),
    on_close: Sequence[Callback] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> RunningServer:
    """Starts serving and returns once the port is open and the health is known.

    service_names: full names of the services that `add_services` registers, for health and reflection.
    checks: raises if the dependency is away; all are critical but those in `degrading` (`dmp_chassis.health`).
    background: loops that run until cancelled; the end of one, for whatever reason, is a failure (`RunningServer.failed`).
    interceptors: run inside the one that answers errors, so what they raise is answered too.
    """
    server = grpc.aio.server(
        interceptors=(ErrorInterceptor(table, domain), *interceptors),
        options=[
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.so_reuseport", 0),
            # The gateway and our own channels ping idle connections: never "too many pings".
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
            ("grpc.http2.max_ping_strikes", 0),
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
    return RunningServer(
        server, report, port=port, background=background, on_stop=on_stop, on_close=on_close
    )


async def run_server(
    *,
    service_names: Sequence[str],
    add_services: Callable[[grpc.aio.Server], None],
    listen: str,
    table: ErrorTable,
    domain: str,
    checks: Mapping[str, Callback] | None = None,
    degrading: Collection[str] = (),
    background: Sequence[Callback] = (),
    on_stop: Sequence[Callback] = (),
    on_close: Sequence[Callback] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    drain_seconds: float = 2.5,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    ready: Callable[[RunningServer], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains and returns; a second signal skips the waiting.

    Raises the ExceptionGroup of a background loop that died, after an orderly end, so that the process exits non-zero. The
    parameters are those of `start_server`; `ready` is called once, when the port is open.
    """
    told = asyncio.Event()
    told_again = asyncio.Event()

    def tell() -> None:
        (told_again if told.is_set() else told).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    running = await start_server(
        service_names=service_names, add_services=add_services, listen=listen, table=table, domain=domain, checks=checks,
        degrading=degrading, background=background, on_stop=on_stop, on_close=on_close, interceptors=interceptors,
        max_message_bytes=max_message_bytes,
    )
    if ready is not None:
        ready(running)
    failure = asyncio.ensure_future(running.failed())
    signalled = asyncio.ensure_future(told.wait())
    await asyncio.wait({failure, signalled}, return_when=asyncio.FIRST_COMPLETED)
    died = failure.done()
    signalled.cancel()
    await running.close(drain_seconds=drain_seconds)
    if died:
        failure.result()
    failure.cancel()


async def _call_all(callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        try:
            async with asyncio.timeout(_CALLBACK_SECONDS):
                await callback()
        except Exception:
            _LOG.exception("a callback failed while stopping")
