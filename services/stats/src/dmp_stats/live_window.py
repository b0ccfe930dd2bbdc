"""The sliding window of this replica, as new as the database whenever it answers.

Every replica keeps the whole window in memory. Before it answers, it reads the batches and the version of the reference
table that any replica has committed since its last look. So every replica shows a batch as soon as it is committed, an
answer never mixes two versions of the table, and a restart rebuilds everything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_stats.adapters import forgotten_store, reference_store, window_store
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.domain.reference import ReferenceSnapshot, unpack_chunk
from dmp_stats.domain.user_activity import UserActivity, merge_activity, unpack_activity
from dmp_stats.domain.window import Window, WindowCounts
from dmp_stats.shared_refresh import SharedRefresh

_LOG: Final = logging.getLogger(__name__)
ALWAYS_GROUPED: Final = ("plan", "region")
_MOST_EXTRA_ATTRIBUTES: Final = 8
_EVENTS_AT_ONCE: Final = 5_000
_CLOCK_SLACK_SECONDS: Final = 5
"""If the clock is set back by no more than this, the window waits for it: time servers correct clocks by as much."""
_USERS_AT_ONCE: Final = 1_000


@dataclass(slots=True, kw_only=True)
class _TakenIn:
    """What the window has of the database."""

    horizon: int = 0
    """The oldest transaction that was running at the last look: all batches of earlier ones have been taken in."""
    batches: dict[int, int] = field(default_factory=dict)
    """The batches of later transactions that have been taken in: number and transaction id."""
    forgotten: int = 0
    """The number of the last erasure of users that has been followed."""
    looked_at: float = field(default_factory=time.monotonic)
    """When the last look ended, by the monotonic clock; the start of the process before the first."""


class LiveWindow:
    """The window of one process. All methods belong to one event loop.

    Long work is done in steps of a millisecond or two. A reader's request passes through the loop a dozen times before
    it is answered, and may have to wait for a step each time.
    """

    def __init__(self, database: Database, *, retention_seconds: int, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970 UTC."""
        self.retention_seconds = retention_seconds
        self._database = database
        self._clock = clock
        self._window = Window(retention=retention_seconds, now=int(clock()), names=ALWAYS_GROUPED)
        self._version: Generation | None = None
        self._taken_in = _TakenIn()
        self._own: dict[int, UserActivity] = {}
        self.writing = asyncio.Lock()
        """Held by the one writer of the reference table in this process. So writers that wait need no connection."""
        self._building = asyncio.Lock()
        self._refreshing = SharedRefresh(self._look)

    @property
    def version(self) -> Generation | None:
        """The version of the reference table in use, None if there is none."""
        return self._version

    @property
    def snapshot(self) -> ReferenceSnapshot:
        """The reference table in use."""
        return self._window.view.snapshot

    @property
    def events(self) -> int:
        """How many events the window holds."""
        return self._window.events

    @property
    def lag_seconds(self) -> float:
        """How long ago it last had all that the database has."""
        return time.monotonic() - self._taken_in.looked_at

    def remember(self, seq: int, activity: UserActivity) -> None:
        """Keeps the activity of a batch that this process has just committed, so that it need not be read back."""
        if seq not in self._taken_in.batches:
            self._own[seq] = activity

    async def refresh(self) -> None:
        """Returns when everything is taken in that was committed before the call. Concurrent calls share the work.

        Raises what the database raises.
        """
        await self._refreshing.run()

    async def counts(self, seconds: int, names: Collection[str]) -> WindowCounts:
        """The figures of the last so many seconds, as new as the database.

        names: the attributes to group by, besides plan and region.
        """
        await self.refresh()
        await self._keep_ring_for(names)
        self._window.advance(int(self._clock()))
        return self._window.counts(seconds, dict.fromkeys((*ALWAYS_GROUPED, *names)))

    async def whole_table(self, snapshot: ReferenceSnapshot) -> list[bytes]:
        """A version that `prepare` has built, as chunks to be stored."""
        payloads: list[bytes] = []
        for payload in snapshot.chunks(self._window.user_index):
            payloads.append(payload)
            await asyncio.sleep(0)
        return payloads

    async def attributes_of(self, user_id: str) -> tuple[dict[str, str] | None, Generation | None]:
        """A user's attributes in the reference table, None if it does not know the user; and the table's version."""
        await self.refresh()
        return self.snapshot.of_user(self._window.user_index.number(user_id)), self._version

    def knows(self, user_id: str) -> bool:
        """Whether the reference table in use has the user."""
        return self.snapshot.of_user(self._window.user_index.number(user_id)) is not None

    async def prepare(self, generation: int, payloads: Collection[bytes], *, is_change: bool) -> ReferenceSnapshot:
        """Builds a version of the reference table that is about to be committed. Readers use the old one until then.

        So no reader has to wait for it. The caller holds the lock of writers. It commits the version, or
        calls `abandon` if the version may not have been committed.
        """
        async with self._building:
            snapshot = self.snapshot.copy(generation) if is_change else ReferenceSnapshot(generation=generation)
            await self._fill(snapshot, _each(payloads))
            await self._show_soon(snapshot)
        return snapshot

    def abandon(self, generation: int) -> None:
        """Drops a prepared version. If it was committed after all, the next look reads it from the database."""
        if self._window.is_prepared_for(generation):
            self._window.abandon()

    async def keep_up(self, *, interval_seconds: float) -> None:
        """Refreshes until cancelled, so that a reader finds little to do. A reader that meets a failure reports it."""
        while True:
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 -- a reader that meets the same error reports it
                _LOG.debug("the window could not be refreshed", exc_info=True)
            await asyncio.sleep(interval_seconds)

    async def close(self) -> None:
        """Ends the work that is under way. Call this before the database is closed."""
        await self._refreshing.close()

    async def _look(self) -> None:
        """Takes in what has been committed since the last look."""
        async with self._database.read() as connection:
            await self._catch_up(connection)
        self._taken_in.looked_at = time.monotonic()

    async def _catch_up(self, connection: AsyncConnection) -> None:
        now = int(self._clock())
        if now < self._window.now - _CLOCK_SLACK_SECONDS:
            await self._restart(now)
        self._window.advance(now)
        await self._forget(connection)
        own_before = list(self._own)
        taken_in = self._taken_in
        changes = await window_store.changes_since(connection, taken_in.horizon)
        new = changes.batches.keys() - taken_in.batches.keys()
        await self._take_in((seq, self._own.pop(seq), changes.batches[seq]) for seq in new & self._own.keys())
        missing = [seq for seq in new if seq not in taken_in.batches]
        async for page in window_store.activity_of_batches(connection, missing):
            await self._take_in((seq, unpack_activity(payload), changes.batches[seq]) for seq, payload in page)
        # A batch that was committed before this look has been taken in by it or by an earlier one.
        for seq in own_before:
            self._own.pop(seq, None)
        taken_in.horizon = changes.horizon
        taken_in.batches = {seq: xact_id for seq, xact_id in taken_in.batches.items() if xact_id >= changes.horizon}
        if changes.generation > self.snapshot.generation:
            await self._change_version(connection, changes.generation)

    async def _restart(self, now: int) -> None:
        """Empties the window, so that the next look fills it from the database.

        The clock was set back: events that the window has dropped may lie in it again.
        """
        _LOG.warning("the clock was set back, the window is rebuilt", extra={"seconds": self._window.now - now})
        async with self._building:
            self._window.restart(now)
        self._taken_in.horizon = 0
        self._taken_in.batches = {}

    async def _forget(self, connection: AsyncConnection) -> None:
        """Renames the users who were erased in the database since the last look, so that answers forget their ids."""
        forgotten = await forgotten_store.since(connection, self._taken_in.forgotten)
        if not forgotten:
            return
        # The activity that this process has kept may still name these users; the stored activity does not.
        self._own.clear()
        for each in forgotten:
            for count, user_id in enumerate(self._window.user_index.everybody()):
                name = each.name_for(user_id)
                if name is not None:
                    self._window.user_index.rename(user_id, name)
                if count % _USERS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            self._taken_in.forgotten = each.seq

    async def _take_in(self, batches: Iterable[tuple[int, UserActivity, int]]) -> None:
        """Adds batches (number, activity, transaction id) to the window, some thousand events at a time."""
        gathered: list[UserActivity] = []
        xact_ids: dict[int, int] = {}
        events = 0
        for seq, activity, xact_id in batches:
            xact_ids[seq] = xact_id
            gathered.append(activity)
            events += len(activity.seconds)
            if events >= _EVENTS_AT_ONCE:
                self._window.add(merge_activity(gathered))
                self._taken_in.batches.update(xact_ids)
                gathered, xact_ids, events = [], {}, 0
                await asyncio.sleep(0)
        if gathered:
            self._window.add(merge_activity(gathered))
            self._taken_in.batches.update(xact_ids)

    async def _change_version(self, connection: AsyncConnection, generation: int) -> None:
        version = await reference_store.by_number(connection, generation)
        assert version is not None
        async with self._building:
            if not self._window.is_prepared_for(generation):
                self._window.abandon()
                continues = self._version is not None and self._version.base == version.base
                snapshot = self.snapshot.copy(generation) if continues else ReferenceSnapshot(generation=generation)
                after = self.snapshot.generation if continues else 0
                await self._fill(snapshot, reference_store.chunks(connection, version, after=after))
                await self._show_soon(snapshot)
            self._window.adopt()
            self._version = version

    async def _fill(self, snapshot: ReferenceSnapshot, payloads: AsyncIterator[bytes]) -> None:
        self._window.keeps_everybody = True
        try:
            async for payload in payloads:
                chunk = unpack_chunk(payload)
                await asyncio.sleep(0)
                for _ in snapshot.add(chunk, self._window.user_index):
                    await asyncio.sleep(0)
        finally:
            self._window.keeps_everybody = False

    async def _show_soon(self, snapshot: ReferenceSnapshot) -> None:
        for _ in self._window.prepare(snapshot, self._window.view.names):
            await asyncio.sleep(0)

    async def _keep_ring_for(self, names: Collection[str]) -> None:
        view = self._window.view
        wanted = {name for name in names if name in view.snapshot.attributes} - view.names
        if not wanted or self._building.locked() or self._window.is_preparing:
            return
        async with self._building:
            kept = (
                view.names if len(view.names | wanted) <= _MOST_EXTRA_ATTRIBUTES + len(ALWAYS_GROUPED) else frozenset()
            )
            for _ in self._window.prepare(view.snapshot, kept | wanted):
                await asyncio.sleep(0)
            self._window.adopt()


async def _each(payloads: Collection[bytes]) -> AsyncIterator[bytes]:
    for payload in payloads:
        yield payload
