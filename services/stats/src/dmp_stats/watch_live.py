"""Makes the live feed: one view of the system a second, for all who watch it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dmp_chassis.database import Database
from dmp_chassis.domain_events import DomainEvent, Publisher
from dmp_chassis.violations import Violations
from dmp_stats.adapters import campaign_store, delta_store
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.list_campaigns import add_pending
from dmp_stats.live_window import LiveWindow

_LOG: Final = logging.getLogger(__name__)
MOST_CAMPAIGNS: Final = 100
LONGEST_SECONDS: Final = 86_400
_TOP_MINUTES: Final = 5
_RATE_SECONDS: Final = (10, 60, 300)
_VERDICT_SECONDS: Final = 60
_EVENTS_AT_ONCE: Final = 1_000
_KINDS: Final = ("EventsAccepted", "DuplicatesIgnored", "EventsRejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """What the live feed shows at one second."""

    at: datetime
    rates: tuple[float, float, float]
    """Events with a user, per second, over the last 10, 60 and 300 seconds."""
    users: int
    """How many different users had events in the last minute."""
    generation: int
    """The version of the reference table."""
    accepted: int
    """How many events ingest accepted in the last minute; the next two fields likewise."""
    duplicates: int
    rejected: int
    top: list[tuple[str, Totals]]
    """The campaigns with most events in the last five minutes, the busiest first."""


def check_live(*, top: int, seconds: int) -> None:
    """Raises InvalidArgument if so many campaigns cannot be named, or the feed cannot end after so many views."""
    problems = Violations()
    if not 1 <= top <= MOST_CAMPAIGNS:
        problems.add("top", f"must be between 1 and {MOST_CAMPAIGNS}")
    if not 0 <= seconds <= LONGEST_SECONDS:
        problems.add("seconds", f"must be between 1 and {LONGEST_SECONDS}")
    problems.check()


class VerdictTally:
    """Counts ingest's verdicts of the last minute from its domain events. An event that is read twice counts once."""

    def __init__(self, events: Publisher) -> None:
        self._events = events
        self._cursor: str | None = None
        self._recent: deque[tuple[float, str, int, str]] = deque()
        self._seen: set[str] = set()

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

    def _take_in(self, event: DomainEvent, now: float) -> None:
        count = event.payload.get("count")
        at = event.occurred_at.timestamp()
        is_recent = now - _VERDICT_SECONDS < at
        if event.kind in _KINDS and isinstance(count, int) and is_recent and event.id not in self._seen:
            self._seen.add(event.id)
            self._recent.append((at, event.kind, count, event.id))


class LiveFeed:
    """Computes one view a second for as long as anybody watches; all watchers share it."""

    def __init__(
        self,
        database: Database,
        deltas: DeltaCache,
        window: LiveWindow,
        events: Publisher,
        *,
        clock: Callable[[], float],
        interval_seconds: float = 1.0,
    ) -> None:
        self._database = database
        self._deltas = deltas
        self._window = window
        self._tally = VerdictTally(events)
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._watchers = 0
        self._loop: asyncio.Task[None] | None = None
        self._latest: LiveView | None = None
        self._number = 0
        self._changed = asyncio.Condition()

    async def watch(self) -> AsyncGenerator[LiveView]:
        """Views, newest only, until the caller stops. A slow caller misses some."""
        self._watchers += 1
        if self._loop is None:
            self._loop = asyncio.ensure_future(self._compute_for_ever())
        seen = self._number
        try:
            while True:
                async with self._changed:
                    while self._number == seen:
                        await self._changed.wait()
                    seen, view = self._number, self._latest
                if view is not None:
                    yield view
        finally:
            self._watchers -= 1
            if self._watchers == 0 and self._loop is not None:
                self._loop.cancel()
                self._loop = None

    async def close(self) -> None:
        """Ends the computing, whoever watches."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _compute_for_ever(self) -> None:
        due = time.monotonic()
        while True:
            try:
                view = await self._compute()
            except Exception as error:  # noqa: BLE001 -- nothing can be shown this second
                _LOG.debug("the live view cannot be computed", extra={"error": f"{type(error).__name__}: {error}"})
            else:
                async with self._changed:
                    self._latest, self._number = view, self._number + 1
                    self._changed.notify_all()
            # What computing has taken is part of the interval; what was missed is not made up for.
            due = max(due + self._interval_seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _compute(self) -> LiveView:
        now = self._clock()
        counts = [await self._window.counts(seconds, ()) for seconds in _RATE_SECONDS]
        last = int(now) // 60
        async with self._database.read() as connection:
            found = await campaign_store.recent(connection, first=last - _TOP_MINUTES + 1, last=last)
            pending = await delta_store.pending(connection, self._deltas)
        add_pending(found, pending, None, first=last - _TOP_MINUTES + 1, end=last + 1)
        await self._tally.catch_up(now)
        accepted, duplicates, rejected = self._tally.counts(now)
        return LiveView(
            at=datetime.fromtimestamp(now, UTC),
            rates=(
                counts[0].events / _RATE_SECONDS[0],
                counts[1].events / _RATE_SECONDS[1],
                counts[2].events / _RATE_SECONDS[2],
            ),
            users=counts[1].unique_users + counts[1].unknown_users,
            generation=counts[0].generation,
            accepted=accepted,
            duplicates=duplicates,
            rejected=rejected,
            top=sorted(found.items(), key=lambda item: (-item[1].events, item[0]))[:MOST_CAMPAIGNS],
        )
