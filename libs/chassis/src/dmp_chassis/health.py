"""What the server says about itself through `grpc.health.v1`, kept up to date by polling its dependencies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from grpc_health.v1 import health, health_pb2

_LOG: Final = logging.getLogger(__name__)
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_FAILURES_THAT_COUNT: Final = 2
"""A single failed check, such as one slow answer under load, changes nothing."""

Check = Callable[[], Awaitable[None]]


class DependencyHealth:
    """Polls dependencies and sets the health of `""`, of each service, and of `dependency.<name>` for each dependency.

    The server and its services are SERVING while no critical dependency is down. A dependency in `degrading` is reported on its own
    only. Before the first round everything is NOT_SERVING.
    """

    def __init__(
        self,
        service_names: Sequence[str],
        checks: Mapping[str, Check],
        *,
        degrading: Collection[str] = (),
        interval_seconds: float = 1.0,
        timeout_seconds: float = 1.0,
    ) -> None:
        unknown = set(degrading) - set(checks)
        if unknown:
            raise ValueError(f"degrading names no check: {', '.join(sorted(unknown))}")
        self.servicer = health.aio.HealthServicer()
        self._names = ("", *service_names)
        self._checks = dict(checks)
        self._degrading = frozenset(degrading)
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._running: dict[str, asyncio.Future[None]] = {}
        # One failure short of down: the first check decides.
        self._failures = dict.fromkeys(checks, _FAILURES_THAT_COUNT - 1)
        self._up: dict[str, bool] = {}

    async def start(self) -> None:
        """Sets every status after one round of checks, which takes at most the timeout."""
        for name in self._names:
            await self.servicer.set(name, _NOT_SERVING)
        await self._round()

    async def poll(self) -> None:
        """Checks all dependencies at the interval, until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._round()

    async def stop(self) -> None:
        """Everything NOT_SERVING, for good."""
        await self.servicer.enter_graceful_shutdown()

    async def _round(self) -> None:
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = asyncio.ensure_future(check())
        if self._running:
            # A check that does not even react to cancellation must not hold up the others: it is left running and counts as failed.
            await asyncio.wait(self._running.values(), timeout=self._timeout_seconds)
        for name in self._checks:
            await self._settle(name)
        down = [name for name, up in self._up.items() if not up and name not in self._degrading]
        for name in self._names:
            await self.servicer.set(name, _NOT_SERVING if down else _SERVING)

    async def _settle(self, name: str) -> None:
        check = self._running[name]
        error: BaseException | None = TimeoutError()
        if check.done():
            del self._running[name]
            error = asyncio.CancelledError() if check.cancelled() else check.exception()
        self._failures[name] = 0 if error is None else self._failures[name] + 1
        up = self._failures[name] < _FAILURES_THAT_COUNT and (error is None or self._up.get(name, False))
        if up != self._up.get(name):
            level = logging.INFO if up else logging.WARNING
            why = {} if error is None else {"error": f"{type(error).__name__}: {error}"}
            _LOG.log(level, "dependency is up" if up else "dependency is down", extra={"dependency": name, **why})
        self._up[name] = up
        await self.servicer.set(f"dependency.{name}", _SERVING if up else _NOT_SERVING)
