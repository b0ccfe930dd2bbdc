"""How many streams one server holds at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dmp_chassis.errors import TooManyStreams

MAX_STREAMS: Final = 256
"""What a server holds unless it is told otherwise. The gateway lets 512 of each kind through: this answers first."""


class StreamLimit:
    """Counts the streams that are open, of all callers and methods together.

    A stream may be idle for minutes and keeps memory and a place in the gateway meanwhile. A few kilobytes open
    thousands.
    """

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Holds a place while the block runs. Raises TooManyStreams when there is none; nobody waits for one."""
        if self._open >= self._limit:
            raise TooManyStreams(self._limit)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
