"""Keeps large requests from making everybody else wait, whether their events are valid or not.

80 bytes of gzip can be 10,000 invalid events: a quarter of a second of work and an answer of megabytes. So what large
requests hold together has a bound, and they are judged and answered one at a time, in short pieces, between which small
requests have their turn.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from dmp_chassis.budget import Budget, Share
from dmp_ingest.domain.errors import OverloadedError

_LARGE_EVENTS: Final = 100
"""Up to so many events are read, judged and answered in a few milliseconds."""
_EVENT_BYTES: Final = 1_024
"""A request counts as at least one event for each so many bytes: an event, or its answer, holds about as much."""
_RETRY_AFTER_SECONDS: Final = 1.0
_AT_ONCE: Final = nullcontext()


def weight_of(*, events: int, size_bytes: int) -> int:
    """How many events a request counts as, by what is known of it so far; 0 for a small one."""
    weight = max(events, size_bytes // _EVENT_BYTES)
    return weight if is_large(weight) else 0


def is_large(events: int) -> bool:
    """Whether so many events are a large request."""
    return events > _LARGE_EVENTS


class LargeRequests:
    """The large requests of one process.

    most_events: so many may be in hand together, from reading their requests until their answers are taken.
    """

    def __init__(self, *, most_events: int) -> None:
        self._in_hand = Budget(most_events, refusal=lambda: OverloadedError(retry_after_seconds=_RETRY_AFTER_SECONDS))
        self._turn = asyncio.Lock()

    def share(self) -> Share:
        """What one request holds: see `weight_of`. `hold` raises OverloadedError if too much is in hand."""
        return self._in_hand.share()

    def turn(self, events: int) -> AbstractAsyncContextManager[object]:
        """Waits until no other large request works. A small one does not wait."""
        return self._turn if is_large(events) else _AT_ONCE
