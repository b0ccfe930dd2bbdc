"""Tells from ingest's domain events how many events it accepted, knew and rejected in the last minute, and which."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from dmp_chassis.domain_events import DomainEvent, Publisher
from dmp_stats.domain.rejections import LastRejection, LastRejections

_LOG: Final = logging.getLogger(__name__)
_VERDICT_SECONDS: Final = 60
_EVENTS_AT_ONCE: Final = 1_000
_REJECTED: Final = "EventsRejected"
_KINDS: Final = ("EventsAccepted", "DuplicatesIgnored", _REJECTED)


class VerdictTally:
    """Counts ingest's verdicts of the last minute from its domain events, and remembers what was rejected last.

    An event that is read twice counts once. Every replica reads the same stream from its beginning, so all show the
    same, also after a restart.
    """

    def __init__(self, events: Publisher) -> None:
        self._events = events
        self._cursor: str | None = None
        self._recent: deque[tuple[float, str, int, str]] = deque()
        self._seen: set[str] = set()
        self._rejections = LastRejections()

    async def catch_up(self, now: float) -> None:
        """Reads what has been published since the last time. Without Redis the counts only grow old."""
        try:
            while True:
                events, self._cursor = await self._events.read(self._cursor, _EVENTS_AT_ONCE)
                for event in events:
                    self._take_in(event, now)
                if len(events) < _EVENTS_AT_ONCE:
                    return
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 -- the feed goes on without verdicts
            _LOG.debug("domain events cannot be read", extra={"error": f"{type(error).__name__}: {error}"})

    def counts(self, now: float) -> tuple[int, int, int]:
        """Accepted, duplicate and rejected events of the last minute."""
        while self._recent and self._recent[0][0] <= now - _VERDICT_SECONDS:
            self._seen.discard(self._recent.popleft()[3])
        totals = dict.fromkeys(_KINDS, 0)
        for _, kind, count, _ in self._recent:
            totals[kind] += count
        return totals[_KINDS[0]], totals[_KINDS[1]], totals[_KINDS[2]]

    def last_rejections(self) -> list[LastRejection]:
        """What was rejected, the last first; see `LastRejections`."""
        return self._rejections.newest()

    def _take_in(self, event: DomainEvent, now: float) -> None:
        count = event.payload.get("count")
        at = event.occurred_at.timestamp()
        if event.kind == _REJECTED:
            self._rejections.take_in(event.id, at, event.payload.get("kinds"))
        is_recent = now - _VERDICT_SECONDS < at
        if event.kind in _KINDS and isinstance(count, int) and is_recent and event.id not in self._seen:
            self._seen.add(event.id)
            self._recent.append((at, event.kind, count, event.id))
