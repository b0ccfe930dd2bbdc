"""How many streams one server holds at a time, of all callers and of one key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dmp_chassis.errors import TooManyStreams

MAX_STREAMS: Final = 256
"""What a server holds unless it is told otherwise. The gateway lets 512 of each kind through: this answers first."""


class StreamLimit:
    """Counts the streams that are open, of all methods together.

    A stream may be idle for minutes and keeps memory and a place in the gateway meanwhile. A few kilobytes open
    thousands. So that one key leaves places to the others, it gets three quarters of them at most.
    """

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._limit_of_a_key = max(1, limit * 3 // 4)
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Holds a place while the block runs. Raises TooManyStreams when there is none; nobody waits for one.

        key: the name of the caller's; empty where no keys are asked for, and then only all are counted together.
        """
        if self._open.total() >= self._limit:
            raise TooManyStreams(self._limit)
        if key and self._open[key] >= self._limit_of_a_key:
            raise TooManyStreams(self._limit_of_a_key)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
