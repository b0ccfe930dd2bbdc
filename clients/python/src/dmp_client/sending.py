"""The half of a client that sends events, the same for both kinds: `track()` never waits for the network.

Everything that belongs to a process (thread, locks, connections, spool) is made at the first use in that process. So a
client that was made before a fork, or before somebody patched `threading`, works after it.
"""

from __future__ import annotations

import atexit
import dataclasses
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from dmp_client.backoff import RetryPolicy
from dmp_client.batch_delivery import Begin
from dmp_client.delivery import Delivery
from dmp_client.delivery_options import DeliveryOptions
from dmp_client.disk_spool import DiskSpool, default_spool_path
from dmp_client.errors import ClosedError
from dmp_client.event import encode_event
from dmp_client.health import Health
from dmp_client.http import Connection, HttpTransport, Reply, Request
from dmp_client.publishing import check_transport, threads_are_greenlets, threads_do_not_run
from dmp_client.spool import MemorySpool, Spool
from dmp_client.verdicts import Verdict

_LOGGER: Final = logging.getLogger("dmp_client")
MEMORY: Final = ":memory:"
"""Instead of a path: events wait in this process only, and are gone if it ends before they were answered."""
_MANY_CLIENTS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingOptions:
    """How a client keeps and sends events.

    spool: the file in which events wait, None for the default in the user's state directory, or MEMORY.
    spool_bytes: as much as may wait.
    durable: wait for the disk on each event, so that it survives a loss of power too.
    source: for events that name none.
    exit_seconds: how long the end of the process waits for events to be answered.
    transport: how events are sent: `json`, a request of HTTP/1.1 for each batch, or `grpc`, one stream for all of them,
        which needs `dmp-client[grpc]`. Questions are asked over HTTP in both cases.
    """

    spool: str | os.PathLike[str] | None = None
    spool_bytes: int = 256 << 20
    durable: bool = False
    source: str | None = None
    exit_seconds: float = 2.0
    transport: Literal["json", "grpc"] = "json"
    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Transport(Protocol):
    """One attempt to send. Raises NoReplyError."""

    def exchange(self, request: Request, *, timeout_seconds: float | None = None) -> Reply: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Process:
    """What a client has in one process."""

    pid: int
    spool: Spool
    transport: Transport
    delivery: Delivery

    def close(self) -> None:
        self.spool.close()
        self.transport.close()


def sending_options(options: SendingOptions | None, named: Mapping[str, Any]) -> SendingOptions:
    """The options that were given, with single ones by name. Raises TypeError, ValueError, ImportError."""
    known = {field.name for field in dataclasses.fields(SendingOptions)}
    for name in named:
        if name not in known:
            raise TypeError(f"{name} is not an option; there are {', '.join(sorted(known))}")
    chosen = dataclasses.replace(options or SendingOptions(), **named)
    check_transport(chosen.transport)
    return chosen


class Sending:
    """Tracks events and delivers them in the background. Used by clients; not part of the public interface."""

    def __init__(
        self, connection: Connection, options: SendingOptions, on_verdict: Callable[[Verdict], None] | None
    ) -> None:
        self._connection = connection
        self._options = options
        self._on_verdict = on_verdict
        self._process: _Process | None = None
        self._making = threading.Lock()
        self._closed = False
        _CLIENTS.add(self)
        if len(_CLIENTS) == _MANY_CLIENTS:
            _LOGGER.warning(
                "%d clients are open: one for each process is enough, and threads may share it", _MANY_CLIENTS
            )

    def track(
        self,
        type: str,
        *,
        event_id: str | None = None,
        campaign_id: str | None = None,
        creative_id: str | None = None,
        source: str | None = None,
        user_id: str | int | None = None,
        identifiers: Mapping[str, str | int] | None = None,
        metadata: Mapping[str, Any] | None = None,
        occurred_at: datetime | str | None = None,
        timestamp: float | None = None,
        ts: datetime | str | None = None,
    ) -> str:
        """Puts an event on its way and returns its id. From here on it is counted exactly once.

        It needs `campaign_id`, or `user_id`, or `identifiers`. At most one of `occurred_at`, `timestamp` and `ts` says
        when it happened, default now. Nothing that is changed afterwards in the arguments changes the event.

        Raises InvalidEventError, SpoolFullError, SpoolError, ClosedError; in each case nothing was queued. It does not
        wait for the network.
        """
        made, body = encode_event(
            type=type,
            event_id=event_id,
            campaign_id=campaign_id,
            creative_id=creative_id,
            source=self._options.source if source is None else source,
            user_id=user_id,
            identifiers=identifiers,
            metadata=metadata,
            occurred_at=occurred_at,
            timestamp=timestamp,
            ts=ts,
        )
        process = self._process
        if process is None or process.pid != os.getpid():
            process = self._begin()
        process.delivery.track(made, body)
        return made

    def flush(self, timeout: float) -> bool:
        """Waits until everything that was tracked before was answered; false if that took longer than `timeout`."""
        process = self._here()
        return process is None or process.delivery.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Flushes and lets go of everything; false if events are left. On disk they wait for the next process."""
        with self._making:
            self._closed = True
            process = self._here()
        if process is None:
            return True
        done = process.delivery.flush(timeout)
        process.delivery.stop(0.5, process.close)
        self._process = None
        if not done and isinstance(process.spool, MemorySpool):
            _LOGGER.error(
                "%d events were not answered and are lost: the spool is in memory", process.spool.waiting()[0]
            )
        return done

    def health(self) -> Health:
        """Counters of this process. Never raises, never waits for the network."""
        process = self._here()
        if process is None:
            return Health()
        delivery, counters = process.delivery, process.delivery.counters
        waiting, oldest = delivery.oldest_waiting_seconds()
        return Health(
            ok=delivery.is_running and delivery.circuit.failures == 0,
            sending=delivery.is_running,
            tracked=counters.tracked,
            waiting=waiting,
            oldest_waiting_seconds=oldest,
            accepted=counters.accepted,
            duplicates=counters.duplicates,
            conflicts=counters.conflicts,
            rejected=counters.rejected,
            expired=counters.expired,
            refused=counters.refused,
            requests=counters.requests,
            failures=counters.failures,
            consecutive_failures=delivery.circuit.failures,
            callback_errors=counters.callback_errors,
            last_error=counters.last_error,
        )

    def resume(self) -> int:
        """Starts sending what a process before this one left in the spool; how many events wait. It is done by the
        first `track()` anyway."""
        process = self._here() or self._begin()
        return process.spool.waiting()[0]

    def _here(self) -> _Process | None:
        """What this client has in this process, if anything."""
        process = self._process
        return process if process is not None and process.pid == os.getpid() else None

    def _begin(self) -> _Process:
        if self._process is not None and self._process.pid != os.getpid():
            self.after_fork()  # a server in C has forked, and has not told Python
        with self._making:
            if self._closed:
                raise ClosedError("the client is closed")
            process = self._here()
            if process is None:
                process = self._process = self._make()
        process.delivery.begin()  # outside the lock: who starts a thread may have to wait for it
        return process

    def _make(self) -> _Process:
        spool = self._open_spool()
        try:
            transport, begin = self._open_transport()
        except BaseException:
            spool.close()
            raise
        delivery = Delivery(
            spool,
            lambda request, seconds: transport.exchange(request, timeout_seconds=seconds),
            options=self._options.delivery,
            policy=self._options.retry,
            on_verdict=self._on_verdict,
            begin=begin,
        )
        return _Process(os.getpid(), spool, transport, delivery)

    def _open_transport(self) -> tuple[Transport, Begin | None]:
        """What sends, and its way to send requests ahead of answers if it has one."""
        if self._options.transport == "json":
            return HttpTransport(self._connection), None
        # Here, because who sends JSON need not have grpc.
        from dmp_client.grpc_transport import GrpcTransport

        if threads_are_greenlets() or threads_do_not_run():
            _LOGGER.warning("events are sent over HTTP: gRPC needs threads, which do not run here")
            return HttpTransport(self._connection), None
        stream = GrpcTransport(self._connection)
        return stream, stream.begin

    def _open_spool(self) -> Spool:
        options = self._options
        if options.spool == MEMORY:
            return MemorySpool(max_bytes=options.spool_bytes)
        path = default_spool_path(self._connection.url) if options.spool is None else Path(options.spool)
        return DiskSpool(path, max_bytes=options.spool_bytes, durable=options.durable)

    def at_exit(self) -> None:
        """The process ends: what is in memory only gets a moment to be sent."""
        process = self._here()
        if process is not None:
            self.flush(self._options.exit_seconds)

    def after_fork(self) -> None:
        """In the child: forgets what is the parent's, which sends its own events."""
        process, self._process = self._process, None
        self._making = threading.Lock()
        if process is None:
            return
        process.delivery.abandon()
        process.spool.abandon()
        if threads_are_greenlets():
            # The child has a copy of the sender, which must not read the answer that is the parent's.
            process.transport.close()
        _LEFT_ALONE.append(process)


_CLIENTS: Final[weakref.WeakSet[Sending]] = weakref.WeakSet()
_LEFT_ALONE: Final[list[_Process]] = []
"""What came with a fork: closing it in the child could disturb the parent's connections."""


def _after_fork_in_child() -> None:
    for client in list(_CLIENTS):
        client.after_fork()


def _at_exit() -> None:
    for client in list(_CLIENTS):
        client.at_exit()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
