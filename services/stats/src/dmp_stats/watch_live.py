"""Shows the live feed: one view of the system a second, for all who watch it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from dmp_chassis.violations import Violations
from dmp_stats.make_live_view import MOST_CAMPAIGNS, LiveView

_LOG: Final = logging.getLogger(__name__)
LONGEST_SECONDS: Final = 86_400


def check_live(*, top: int, seconds: int) -> None:
    """Raises InvalidArgument if so many campaigns cannot be named, or the feed cannot end after so many views."""
    problems = Violations()
    if not 1 <= top <= MOST_CAMPAIGNS:
        problems.add("top", f"must be between 1 and {MOST_CAMPAIGNS}")
    if not 0 <= seconds <= LONGEST_SECONDS:
        problems.add("seconds", f"must be between 1 and {LONGEST_SECONDS}")
    problems.check()


class LiveFeed:
    """Has one view made each second for as long as anybody watches; all watchers share it."""

    def __init__(self, make_view: Callable[[], Awaitable[LiveView]], *, interval_seconds: float = 1.0) -> None:
        self._make_view = make_view
        self._interval_seconds = interval_seconds
        self._watchers = 0
        self._loop: asyncio.Task[None] | None = None
        self._latest: LiveView | None = None
        self._number = 0
        self._changed = asyncio.Condition()

    async def watch(self) -> AsyncGenerator[LiveView]:
        """Views, newest only, until the caller stops. A slow caller misses some."""
        self._watchers += 1
        if self._loop is None:
            self._loop = asyncio.ensure_future(self._make_views_for_ever())
        seen = self._number
        try:
            while True:
                async with self._changed:
                    while self._number == seen:
                        await self._changed.wait()
                    seen, view = self._number, self._latest
                if view is not None:
                    yield view
        finally:
            self._watchers -= 1
            if self._watchers == 0 and self._loop is not None:
                self._loop.cancel()
                self._loop = None

    async def close(self) -> None:
        """Makes no more views, whoever watches."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _make_views_for_ever(self) -> None:
        due = time.monotonic()
        while True:
            try:
                view = await self._make_view()
            except Exception as error:  # noqa: BLE001 -- nothing can be shown this second
                _LOG.debug("the live view cannot be made", extra={"error": f"{type(error).__name__}: {error}"})
            else:
                async with self._changed:
                    self._latest, self._number = view, self._number + 1
                    self._changed.notify_all()
            # The time that a view took is part of the interval; what was missed is not made up for.
            due = max(due + self._interval_seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
