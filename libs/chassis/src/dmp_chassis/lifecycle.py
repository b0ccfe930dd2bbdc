"""A server that is serving, its background loops, and its end, which loses no request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, NoReturn, TypeAlias

import grpc

from dmp_chassis.health import DependencyHealth

_LOG: Final = logging.getLogger(__name__)
_END_SECONDS: Final = 2.0
_CALLS_END, _FLUSHED, _LOOPS_END, _CHECKS_END = 0.5, 0.8, 0.85, 0.9
"""When each step of the end is over at the latest, as a share of it; who is early leaves time to the next."""

_CANCELLED_AGAIN_SECONDS: Final = 0.3

Callback: TypeAlias = Callable[[], Awaitable[None]]


class RunningServer:
    """A server from its start until `close`. As an asynchronous context manager it closes without draining.

    The end, in order: health NOT_SERVING; wait until the gateway has noticed; refuse new calls and let running ones
    finish; `on_stop`, while the background loops still run; cancel the loops; wait for health checks; `on_close`.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        health: DependencyHealth,
        *,
        port: int,
        background: Sequence[Callback],
        on_stop: Sequence[Callback],
        on_close: Sequence[Callback],
    ) -> None:
        self.port = port
        """The TCP port in use; 1 for a unix socket."""
        self.metrics_port = 0
        """The TCP port where the metrics are read; 0 if nowhere."""
        self._server = server
        self._health = health
        self._on_stop = on_stop
        self._on_close = on_close
        self._running: list[asyncio.Task[None]] = []
        self._loops = asyncio.ensure_future(_run_loops((health.poll, *background), self._running))
        self._hurry = asyncio.Event()
        self._end: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where a client on this machine reaches a server that listens on a TCP port."""
        return f"127.0.0.1:{self.port}"

    async def failed(self) -> NoReturn:
        """Waits until a background loop dies, then raises an ExceptionGroup with its error."""
        await asyncio.shield(self._loops)
        raise AssertionError("unreachable: loops do not end without an error")

    async def close(self, *, drain_seconds: float = 0.0, end_seconds: float = _END_SECONDS) -> None:
        """Ends in the order described above; calls after the first wait for the first one's end.

        drain_seconds: how long to serve on while the health says NOT_SERVING. end_seconds: what everything after that
        gets together, running calls half of it. Whoever stops the process counts on that: what does not end in time is
        cut short, not waited for. Errors of callbacks and loops are logged, not raised.
        """
        if self._end is None:
            self._end = asyncio.ensure_future(self._close(drain_seconds, end_seconds))
        await asyncio.shield(self._end)

    def hurry(self) -> None:
        """Cuts the draining of a `close` short."""
        self._hurry.set()

    async def __aenter__(self) -> RunningServer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _close(self, drain_seconds: float, end_seconds: float) -> None:
        await self._health.stop()
        _LOG.info("draining", extra={"port": self.port, "seconds": drain_seconds})
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({hurry}, timeout=drain_seconds)
        hurry.cancel()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._server.stop(_CALLS_END * end_seconds)
        await _call_all(self._on_stop, until=begun + _FLUSHED * end_seconds)
        await self._end_loops(until=begun + _LOOPS_END * end_seconds)
        await _call_all([self._health.end_checks], until=begun + _CHECKS_END * end_seconds)
        await _call_all(self._on_close, until=begun + end_seconds)
        _LOG.info("stopped", extra={"port": self.port})

    async def _end_loops(self, *, until: float) -> None:
        """Cancels the loops again and again: one that survives errors may survive one that hides a cancellation."""
        loop = asyncio.get_running_loop()
        self._loops.cancel()
        while not self._loops.done() and loop.time() < until:
            for running in self._running:
                running.cancel()
            await asyncio.wait({self._loops}, timeout=_CANCELLED_AGAIN_SECONDS)
        if not self._loops.done():
            _LOG.error("a background loop does not end")
        elif not self._loops.cancelled() and (error := self._loops.exception()) is not None:
            _LOG.error("a background loop failed", exc_info=error)


async def _run_loops(loops: Sequence[Callback], running: list[asyncio.Task[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        running.extend(group.create_task(_run_for_ever(loop)) for loop in loops)


async def _run_for_ever(loop: Callback) -> None:
    await loop()
    raise RuntimeError(f"the background loop {_name(loop)} has ended")


def _name(callback: Callback) -> str:
    return str(getattr(callback, "__qualname__", callback))


async def _call_all(callbacks: Sequence[Callback], *, until: float) -> None:
    for callback in callbacks:
        try:
            async with asyncio.timeout_at(until):
                await callback()
        except TimeoutError:
            _LOG.warning("a callback was cut short while stopping", extra={"callback": _name(callback)})
        except Exception:  # noqa: BLE001 -- one that fails must not keep the others from running
            _LOG.exception("a callback failed while stopping")
