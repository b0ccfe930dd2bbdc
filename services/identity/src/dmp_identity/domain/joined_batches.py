"""Which batches may be applied in one transaction, as if one had come after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MOST_BATCHES: Final = 64
_MOST_EVENTS: Final = 1_000
"""From there on a batch costs what its events cost, and to join others with it would only make them wait."""


def joinable(waiting: Iterable[int]) -> int:
    """How many of the waiting batches to join, from the first on; at least one, unless none waits.

    waiting: how many events each has.
    """
    count = events = 0
    for batch_events in waiting:
        if count and (count == _MOST_BATCHES or events + batch_events > _MOST_EVENTS):
            break
        count += 1
        events += batch_events
    return count
