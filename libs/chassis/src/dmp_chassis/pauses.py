"""Pauses in long work on the event loop, so that everybody else is answered meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Final

_AT_ONCE_SECONDS: Final = 0.003
_QUIET_SECONDS: Final = 0.0001
"""A turn of the loop that took less had nothing to do."""
_MOST_TURNS: Final = 20


class Pauses:
    """Says when it is time to let others have their turn; made where the work begins.

    A small request needs twenty turns of the loop and more. So a pause lasts until nobody else has anything to do, but
    for 20 turns at most: otherwise many small requests could keep long work from ever ending.
    """

    def __init__(self) -> None:
        self._ends = time.monotonic() + _AT_ONCE_SECONDS

    async def take_if_due(self) -> None:
        """Returns at once, or, if the loop was not free for three milliseconds, after others had their turns."""
        now = time.monotonic()
        if now < self._ends:
            return
        for _ in range(_MOST_TURNS):
            began = now
            await asyncio.sleep(0)
            now = time.monotonic()
            if now - began < _QUIET_SECONDS:
                break
        self._ends = now + _AT_ONCE_SECONDS
