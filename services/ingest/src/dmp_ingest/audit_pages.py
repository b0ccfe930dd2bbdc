"""Walks a long range in stretches of minutes, so that an audit or a repair has a bound in memory and in time.

A stretch begins with an hour, grows fourfold while it is cheap, and is halved when it turns out to be too large. One
answer takes as many stretches as fit into its time and says at which minute the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from dmp_ingest.domain.errors import AuditBusyError, MinuteTooLargeError, StretchTooLargeError

_FIRST_MINUTES: Final = 60
_MOST_MINUTES: Final = 32 * 24 * 60
_GROWTH: Final = 4
_CHEAP_SECONDS: Final = 2.0
"""Well above what an empty stretch costs on a busy machine: else a long range would be walked hour by hour."""
_CHEAP_CELLS: Final = 20_000
_ANSWER_SECONDS: Final = 3.0
"""After so long no further stretch is begun. The last one takes as long as a few statements may, five seconds each."""


class OneAtATime:
    """Lets one audit or repair through at a time: each reads as much as the database gives."""

    def __init__(self) -> None:
        self._is_busy = False

    def __enter__(self) -> None:
        """Raises AuditBusyError if one is under way."""
        if self._is_busy:
            raise AuditBusyError
        self._is_busy = True

    def __exit__(self, *_: object) -> None:
        self._is_busy = False


async def walk(
    first: int, last: int, stretch: Callable[[int, int], Awaitable[int]], *, answer_seconds: float = _ANSWER_SECONDS
) -> int | None:
    """Calls `stretch` with the first and last minute of one stretch after the other, both included, until the range or
    the time is over: the minute to go on with, None if the range is done.

    `stretch` returns how many cells it compared, and raises StretchTooLargeError when it must be shorter; it keeps
    nothing of that attempt. Raises MinuteTooLargeError if a single minute is too large.
    """
    began = time.monotonic()
    length = _FIRST_MINUTES
    minute = first
    while minute <= last:
        at = time.monotonic()
        if at - began > answer_seconds:
            return minute
        end = min(last, minute + length - 1)
        try:
            cells = await stretch(minute, end)
        except StretchTooLargeError:
            if end == minute:
                raise MinuteTooLargeError(minute=minute) from None
            if minute > first:
                return minute  # the next answer begins with a short stretch
            length = (end - minute + 1) // 2
            continue
        minute = end + 1
        if time.monotonic() - at < _CHEAP_SECONDS and cells < _CHEAP_CELLS:
            length = min(_MOST_MINUTES, length * _GROWTH)
    return None
