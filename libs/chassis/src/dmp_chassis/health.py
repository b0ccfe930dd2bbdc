"""What the server says about itself through `grpc.health.v1`, kept up to date by polling its dependencies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias

from grpc_health.v1 import health, health_pb2

_LOG: Final = logging.getLogger(__name__)
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

_FAILURES_UNTIL_DOWN: Final = 2
"""A single failed check, such as one slow answer under load, changes nothing."""

Check: TypeAlias = Callable[[], Awaitable[None]]
"""Returns if the dependency answers, raises if it does not."""


class DependencyHealth:
    """Polls dependencies and sets the health of `""`, of each service, and of `dependency.<name>` for each dependency.

    The server and its services are SERVING while no critical dependency is down. A dependency in `degrading` is
    reported under its own name only. Before the first check everything is NOT_SERVING.
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
        self._failures = dict.fromkeys(checks, 0)
        self._up: dict[str, bool] = {}

    async def start(self) -> None:
        """Sets every status after one check of each dependency, which takes at most the timeout."""
        for name in self._names:
            await self.servicer.set(name, _NOT_SERVING)
        await asyncio.gather(*(self._check(name) for name in self._checks))
        await self._set_services()

    async def poll(self) -> None:
        """Checks every dependency at the interval, each independently of the others, until it is cancelled."""
        await asyncio.gather(asyncio.Event().wait(), *(self._poll(name) for name in self._checks))

    def is_up(self, name: str) -> bool:
        """Whether a dependency answers, as far as the last looks tell."""
        return self._up.get(name, False)

    async def stop(self) -> None:
        """Everything NOT_SERVING, for good."""
        await self.servicer.enter_graceful_shutdown()

    async def end_checks(self) -> None:
        """Returns once no check is running: those that are have the timeout to end, then they are cancelled.

        To be called after `poll` was cancelled and before what the checks use is closed.
        """
        try:
            await self._until_none_runs()
        finally:
            for check in self._running.values():
                check.cancel()
        await self._until_none_runs()

    async def _until_none_runs(self) -> None:
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self._timeout_seconds)

    async def _poll(self, name: str) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self._check(name)
            await self._set_services()

    async def _set_services(self) -> None:
        down = {name for name, up in self._up.items() if not up} - self._degrading
        for name in self._names:
            await self.servicer.set(name, _NOT_SERVING if down else _SERVING)

    async def _check(self, name: str) -> None:
        """One check. A check that does not come back, maybe not even when cancelled, is left running and waited for."""
        if name not in self._running:
            self._running[name] = asyncio.ensure_future(self._checks[name]())
        await asyncio.wait({self._running[name]}, timeout=self._timeout_seconds)
        error: BaseException | None = TimeoutError("no answer")
        if self._running[name].done():
            check = self._running.pop(name)
            error = asyncio.CancelledError() if check.cancelled() else check.exception()
        self._failures[name] = 0 if error is None else self._failures[name] + 1
        was_up = self._up.get(name)
        up = self._up[name] = error is None or (was_up is True and self._failures[name] < _FAILURES_UNTIL_DOWN)
        if up and not was_up:
            _LOG.info("dependency is up", extra={"dependency": name})
        elif not up and was_up is not False:
            _LOG.warning("dependency is down", extra={"dependency": name, "error": f"{type(error).__name__}: {error}"})
        await self.servicer.set(f"dependency.{name}", _SERVING if up else _NOT_SERVING)
