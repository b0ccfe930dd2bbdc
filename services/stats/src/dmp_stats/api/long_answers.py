"""Makes long answers a few at a time and holds only so much that is not read yet, however many ask and do not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

from dmp_chassis.budget import Budget, Share
from dmp_stats.domain.errors import BusyError

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 8
MOST_UNREAD_BYTES: Final = 64 << 20
"""What answers that are being made and sent may hold together: eight of 200,000 points, 37 of a month of minutes."""
LONGEST_BYTES: Final = 8 << 20
"""An answer of 200,000 points, which is the longest there is, unless its groups have very many or long names."""


class LongAnswers:
    """The turns of one replica, and what it holds of answers that their callers have not read yet."""

    def __init__(self, *, most_unread_bytes: int = MOST_UNREAD_BYTES) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._unread = Budget(most_unread_bytes, refusal=lambda: BusyError(what="long answers"))
        self._pen = asyncio.Lock()

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

    def room(self, *, is_long: bool) -> AbstractContextManager[Share]:
        """Room for the bytes of an answer until it is sent. Raises BusyError at once if a long one may find none."""
        return self._unread.share(LONGEST_BYTES if is_long else 0)

    async def written(self, pieces: Iterator[bytes], *, is_long: bool) -> AsyncGenerator[bytes]:
        """Pieces of a text, each made when the one before it is sent; of long ones one at a time of all the answers.

        Between two pieces everything else in the event loop has its turn.
        """
        if not is_long:
            yield b"".join(pieces)
            return
        while True:
            async with self._pen:
                piece = next(pieces, None)
                await asyncio.sleep(0)
            if piece is None:
                return
            yield piece
