"""Makes long answers a few at a time and holds only so much that is not read yet, however many ask and do not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from dmp_stats.domain.errors import BusyError

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 8
MOST_UNREAD_BYTES: Final = 64 << 20
"""What answers that are being made and sent may hold together: eight of 200,000 points, 37 of a month of minutes."""
LONGEST_BYTES: Final = 8 << 20
"""An answer of 200,000 points, which is the longest there is, unless its groups have very many or long names."""


class Room:
    """What one answer holds."""

    def __init__(self, answers: LongAnswers) -> None:
        self._answers = answers
        self._held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """From now on it holds so many bytes. Raises BusyError if there is no room for them."""
        self._answers.change_unread(size_bytes - self._held_bytes)
        self._held_bytes = size_bytes


class LongAnswers:
    """The turns of one replica, and what it holds of answers that their callers have not read yet."""

    def __init__(self, *, most_unread_bytes: int = MOST_UNREAD_BYTES) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._most_unread_bytes = most_unread_bytes
        self._unread_bytes = 0
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

    @contextmanager
    def room(self, *, is_long: bool) -> Iterator[Room]:
        """Room for an answer until it is sent. Raises BusyError at once if it is long and there may be none for it."""
        room = Room(self)
        try:
            if is_long:
                room.hold(LONGEST_BYTES)
            yield room
        finally:
            room.hold(0)

    def change_unread(self, size_bytes: int) -> None:
        """Holds so many bytes more, or fewer. Raises BusyError if there is no room for more."""
        if size_bytes > 0 and self._unread_bytes + size_bytes > self._most_unread_bytes:
            raise BusyError(what="long answers")
        self._unread_bytes += size_bytes

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
