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
_CALLBACK_SECONDS: Final = 3.0

Callback: TypeAlias = Callable[[], Awaitable[None]]


class RunningServer:
    """A server from its start until `close`. As an asynchronous context manager it closes without draining.

    The end, in order: health NOT_SERVING; wait until the gateway has noticed; refuse new calls and let running ones
    finish; `on_stop`, while the background loops still run; cancel the loops; `on_close`.
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
        self._server = server
        self._health = health
        self._on_stop = on_stop
        self._on_close = on_close
        self._loops = asyncio.ensure_future(_run_loops((health.poll, *background)))
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

    async def close(self, *, drain_seconds: float = 0.0, grace_seconds: float = 3.0) -> None:
        """Ends in the order described above; calls after the first wait for the first one's end.

        drain_seconds: how long to serve on while the health says NOT_SERVING. grace_seconds: what running calls get.
        Each callback gets three seconds. Errors of callbacks and loops are logged, not raised.
        """
        if self._end is None:
            self._end = asyncio.ensure_future(self._close(drain_seconds, grace_seconds))
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

    async def _close(self, drain_seconds: float, grace_seconds: float) -> None:
        await self._health.stop()
        _LOG.info("draining", extra={"port": self.port, "seconds": drain_seconds})
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({hurry}, timeout=drain_seconds)
        hurry.cancel()
        await self._server.stop(grace_seconds)
        await _call_all(self._on_stop)
        self._loops.cancel()
        await asyncio.wait({self._loops})
        if not self._loops.cancelled() and (error := self._loops.exception()) is not None:
            _LOG.error("a background loop failed", exc_info=error)
        await _call_all(self._on_close)
        _LOG.info("stopped", extra={"port": self.port})


async def _run_loops(loops: Sequence[Callback]) -> None:
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(_run_for_ever(loop))


async def _run_for_ever(loop: Callback) -> None:
    await loop()
    raise RuntimeError(f"the background loop {getattr(loop, '__qualname__', loop)!s} has ended")


async def _call_all(callbacks: Sequence[Callback]) -> None:
    for callback in callbacks:
        try:
            async with asyncio.timeout(_CALLBACK_SECONDS):
                await callback()
        except Exception:  # noqa: BLE001 -- one that fails must not keep the others from running
            _LOG.exception("a callback failed while stopping")
