"""Starts a gRPC server with errors answered, health, reflection and limits; and runs one until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dmp_chassis.call_metrics import OF_CALLS
from dmp_chassis.callers import CallerCheck
from dmp_chassis.certificate_dates import watch_certificates
from dmp_chassis.certificates import CertificateFiles, Certificates, CertificateSet
from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.errors import ErrorTable
from dmp_chassis.health import Check, DependencyHealth
from dmp_chassis.interceptors import ErrorInterceptor
from dmp_chassis.lifecycle import Callback, RunningServer
from dmp_chassis.metrics import Metrics
from dmp_chassis.metrics_endpoint import MetricsEndpoint
from dmp_chassis.operator_signals import obey_signals
from dmp_chassis.requests import COMPRESSION_OPTIONS
from dmp_chassis.store_metrics import watch_dependencies
from dmp_chassis.streams import MAX_STREAMS, StreamLimit

__all__ = ["Api", "Callback", "Check", "Parts", "RunningServer", "Servicer", "run_server", "start_server"]

_LOG: Final = logging.getLogger(__name__)
_YOUNG_OBJECTS: Final = 50_000
_METADATA_BYTES: Final = 32 * 1024
_CERTIFIED_SECONDS: Final = 600


class Servicer(Protocol):
    """What answers the calls of a service."""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all its methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What callers see of a server, whatever its settings are."""

    services: Sequence[str]
    """Full names of the gRPC services that its servicer registers, for health and reflection."""
    errors: ErrorTable
    """Status, reason and sentence of each error (`dmp_chassis.errors`)."""
    domain: str
    """The domain of every `google.rpc.ErrorInfo`."""
    max_request_bytes: Mapping[str, int] = field(default_factory=dict)
    """Of an RPC's message by the RPC's name, `""` for all others. Larger ones, inflated, are not parsed."""
    callers: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The services that an RPC believes, by its path (`dmp_chassis.callers`), where callers show certificates."""
    max_streams: int = MAX_STREAMS
    """How many streams of callers may be open at a time. One more is answered RESOURCE_EXHAUSTED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one server consists of: who answers, what runs beside, what it depends on, how it ends."""

    servicer: Servicer
    checks: Mapping[str, Check] = field(default_factory=dict)
    """One for each dependency, polled every second. One that is away does not keep the server from starting. All are
    critical, that is they decide whether the services are SERVING, but those in `degrading`."""
    degrading: Collection[str] = ()
    """Dependencies without which the services still do their work."""
    background: Sequence[Callback] = ()
    """Loops that run until cancelled, in one TaskGroup. The end of one, whatever the reason, is a failure."""
    on_stop: Sequence[Callback] = ()
    """Called at the end, before the loops are cancelled: flush."""
    on_close: Sequence[Callback] = ()
    """Called after the loops are cancelled: close."""
    metrics: Metrics = field(default_factory=Metrics)
    """What the server counts and measures."""
    metrics_listen: str = ""
    """`host:port` where that is read, nowhere if empty."""


async def start_server(
    api: Api, parts: Parts, *, listen: str = "127.0.0.1:0", certificates: CertificateFiles | None = None
) -> RunningServer:
    """Starts serving; returns once the port is open, the health is known and the line `serving` is logged.

    listen: `host:port`, port 0 for any, or `unix:/path`. certificates: serves only those who show one of the same
    authority, each RPC only the services that it believes; new ones count for connections from then on. None: plain,
    everybody who reaches the port. Raises CertificatesUnusableError, and OSError if the metrics' port is taken.
    """
    shown = Certificates(certificates) if certificates is not None else None
    credentials = _credentials(shown) if shown is not None else None
    callers = CallerCheck(api.callers) if certificates is not None else None
    streams = StreamLimit(api.max_streams)
    metrics = parts.metrics
    metrics.declare(*OF_CALLS)
    if shown is not None:
        watch_certificates(metrics, shown)
    server = grpc.aio.server(
        interceptors=(ErrorInterceptor(api.errors, api.domain, api.max_request_bytes, streams, callers, metrics),),
        options=[
            # A connection outlives its certificates, unless it ends: calls go on, the next ones take another.
            *([("grpc.max_connection_age_ms", _CERTIFIED_SECONDS * 1000)] if certificates is not None else []),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
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
    report = DependencyHealth(api.services, parts.checks, degrading=parts.degrading)
    watch_dependencies(metrics, parts.checks, report.is_up)
    parts.servicer.add_to(server)
    health_pb2_grpc.add_HealthServicer_to_server(report.servicer, server)
    reflection.enable_server_reflection((*api.services, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port(listen) if credentials is None else server.add_secure_port(listen, credentials)
    endpoint = MetricsEndpoint(metrics)
    if parts.metrics_listen:
        await endpoint.listen(parts.metrics_listen)
    await report.start()
    await server.start()
    _LOG.info("serving", extra={"port": port, "listen": listen, "certificates": certificates is not None})
    running = RunningServer(
        server,
        report,
        port=port,
        background=parts.background,
        on_stop=parts.on_stop,
        on_close=(endpoint.close, *parts.on_close),
    )
    running.metrics_port = endpoint.port
    return running


async def run_server(
    api: Api,
    parts: Parts,
    *,
    listen: str,
    drain_seconds: float,
    ready: Callable[[RunningServer], None] | None = None,
    certificates: CertificateFiles | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then ends as `RunningServer` describes; a second signal cuts the draining short.

    drain_seconds: the time that the gateway needs to notice NOT_SERVING. ready: called once, when the port is open.
    When a background loop dies, the server ends in the same order and the loop's error is raised in an ExceptionGroup,
    so that the process exits non-zero.
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
    obey_signals(parts.metrics.watched)
    running = await start_server(api, parts, listen=listen, certificates=certificates)
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


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """What the server shows and whom it believes, asked for at each new connection, in a thread of gRPC's library."""
    used: CertificateSet = certificates.current()

    def changed() -> Any:  # noqa: ANN401 -- None means "as before", which the types of the library leave out
        nonlocal used
        current = certificates.current()
        if current is used:
            return None
        used = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(_configuration(used), changed, require_client_authentication=True)


def _configuration(current: CertificateSet) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(current.key, current.certificate)], root_certificates=current.authority
    )


def _collect_garbage_rarely() -> None:
    """Looks for cycles after 50,000 new containers instead of 700, and never again among what has been imported.

    Requests make many objects and few cycles: one batch of a thousand events would start the collector a dozen times,
    and now and then it would look through all that a service remembers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
