"""Makes long answers a few at a time, so that many who ask for one do not take all memory and time together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from dmp_stats.domain.errors import BusyError

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 8


class LongAnswers:
    """The turns of one replica."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, *, is_long: bool) -> AsyncIterator[None]:
        """Waits for a turn if the answer is long. Raises BusyError if many wait already."""
        if not is_long:
            yield
            return
        if self._turns.locked() and self._waiting >= _MOST_WAITING:
            raise BusyError(what="long answers")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()
