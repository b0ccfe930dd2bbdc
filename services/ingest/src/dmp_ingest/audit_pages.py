"""Walks a long range of minutes in parts, so that an audit or a repair has a bound in memory and in time.

The first part is an hour. The next ones are four times as long while they are cheap, and half as long when a part turns
out to be too large. One answer has as many parts as fit into its time, and says at which minute the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from dmp_ingest.domain.errors import AuditBusyError, MinuteTooLargeError, RangeTooLargeError

_FIRST_MINUTES: Final = 60
_MOST_MINUTES: Final = 32 * 24 * 60
_GROWTH: Final = 4
_CHEAP_SECONDS: Final = 2.0
"""A part that took less than this is cheap. It is well above what an empty part costs on a busy machine; else a long
range would be walked hour by hour."""
_CHEAP_CELLS: Final = 20_000
_ANSWER_SECONDS: Final = 3.0
"""After this time no further part is begun. The last one may take as long as a few statements, five seconds each."""


class OneAtATime:
    """Lets one audit or repair through at a time, because each reads as fast as the database can."""

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
    first: int, last: int, do_part: Callable[[int, int], Awaitable[int]], *, answer_seconds: float = _ANSWER_SECONDS
) -> int | None:
    """Does the range from `first` to `last`, both included, part by part, until the range or the time is over.

    do_part: is called with the first and the last minute of a part, and returns how many cells it compared. It raises
    RangeTooLargeError if the part must be shorter, and then keeps nothing of it.

    Returns the minute to go on with, None if the range is done. Raises MinuteTooLargeError if a single minute is too
    large.
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
            cells = await do_part(minute, end)
        except RangeTooLargeError:
            if end == minute:
                raise MinuteTooLargeError(minute=minute) from None
            if minute > first:
                return minute  # the next answer begins with a short part
            length = (end - minute + 1) // 2
            continue
        minute = end + 1
        if time.monotonic() - at < _CHEAP_SECONDS and cells < _CHEAP_CELLS:
            length = min(_MOST_MINUTES, length * _GROWTH)
    return None
