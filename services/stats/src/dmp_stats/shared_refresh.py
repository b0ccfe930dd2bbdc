"""Lets callers that want something brought up to date at the same time share the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class SharedRefresh:
    """Runs `refresh` for its callers, one run at a time.

    A caller never joins a run that has already begun: that run may not see what was committed just before the call. All
    who call while a run is under way share the one after it.
    """

    def __init__(self, refresh: Callable[[], Awaitable[None]]) -> None:
        self._refresh = refresh
        self._running = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Returns when a run has ended that began after this call. Raises what that run raises."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._run())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._ended)
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """Cancels the runs that are under way and waits for their end."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        async with self._running:
            self._next = None
            await self._refresh()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._next is task:
            self._next = None
        # Its callers have the error, unless all of them have left.
        if not task.cancelled():
            task.exception()
