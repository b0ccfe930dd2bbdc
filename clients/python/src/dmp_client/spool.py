"""Where events wait until they were answered: on disk, so that they survive this process, or in memory if asked for.

A spool holds the events of this process. What another process left on disk when it ended is taken over.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from dmp_client.errors import SpoolFullError

_BESIDE_THE_BODY: Final = 400
"""Bytes that an event takes in memory on top of its body: its id, its numbers, its place in the order."""


class SpooledEvent(msgspec.Struct, frozen=True, gc=False):
    """One event that has no answer yet.

    seq: its place in the order of arrival.
    event_id: its id.
    body: its JSON, as it is sent each time.
    tracked_at: Unix seconds when it was tracked.
    """

    seq: int
    event_id: str
    body: bytes
    tracked_at: float


class Spool(Protocol):
    """What the delivery asks of a spool: everything but `tidy` under the delivery's lock, so one call at a time."""

    def append(self, event_id: str, body: bytes) -> int:
        """Keeps an event and returns its seq. Raises SpoolFullError, and then keeps nothing."""

    def after(self, seq: int, *, most_events: int, most_bytes: int) -> list[SpooledEvent]:
        """The next events behind a seq, in order: at least one if there is any."""

    def remove(self, seqs: Sequence[int]) -> None:
        """Forgets events, by identity: they were answered."""

    def tidy(self) -> None:
        """Does what takes the disk's time, without holding up who tracks: called without the delivery's lock."""

    def adopt(self) -> int:
        """Takes over what processes left that have ended; how many events that were."""

    def waiting(self) -> tuple[int, float | None]:
        """How many events have no answer, and when the oldest of them was tracked."""

    def oldest(self) -> int | None:
        """The smallest seq that has no answer."""

    def newest(self) -> int:
        """The seq that was given last, also to an event that was taken over; one before the first if there is none."""

    def close(self) -> None:
        """Lets go of files. What is on disk stays there."""

    def abandon(self) -> None:
        """After a fork, in the child: lets go without touching what belongs to the parent."""


class MemorySpool:
    """Keeps events in this process only. They are gone when it ends before they were answered."""

    def __init__(self, *, max_bytes: int) -> None:
        self._events: OrderedDict[int, SpooledEvent] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._next = 1

    def append(self, event_id: str, body: bytes) -> int:
        size = len(body) + _BESIDE_THE_BODY
        if self._bytes + size > self._max_bytes:
            raise SpoolFullError(
                f"{len(self._events)} events ({self._bytes} bytes) are waiting; the limit is {self._max_bytes} bytes"
            )
        seq = self._next
        self._next += 1
        self._events[seq] = SpooledEvent(seq, event_id, body, time.time())
        self._bytes += size
        return seq

    def after(self, seq: int, *, most_events: int, most_bytes: int) -> list[SpooledEvent]:
        taken: list[SpooledEvent] = []
        size = 0
        # Events leave in about the order in which they came, so those before `seq` are few.
        for event in self._events.values():
            if event.seq <= seq:
                continue
            if taken and (len(taken) >= most_events or size + len(event.body) > most_bytes):
                break
            taken.append(event)
            size += len(event.body)
        return taken

    def remove(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            gone = self._events.pop(seq, None)
            if gone is not None:
                self._bytes -= len(gone.body) + _BESIDE_THE_BODY

    def tidy(self) -> None:
        pass

    def adopt(self) -> int:
        return 0

    def waiting(self) -> tuple[int, float | None]:
        first = next(iter(self._events.values()), None)
        return len(self._events), None if first is None else first.tracked_at

    def oldest(self) -> int | None:
        return next(iter(self._events), None)

    def newest(self) -> int:
        return self._next - 1

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        # The events in the child's copy are the parent's, which sends them.
        self._events.clear()
        self._bytes = 0
