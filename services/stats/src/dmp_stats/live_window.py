"""The sliding window of this replica: always as new as the database when it answers.

Every replica keeps the whole window in memory. Before it answers it looks which batches and which version of the
reference table have been committed since it last looked, whoever wrote them, and takes them in. So every replica shows
a batch as soon as it is committed, an enriched answer never mixes two versions, and a restart rebuilds everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_stats.adapters import forgotten_store, reference_store, window_store
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.domain.reference import Labels, unpack_chunk
from dmp_stats.domain.sightings import Sightings, merge_sightings, unpack_sightings
from dmp_stats.domain.window import Window, WindowCounts

_LOG: Final = logging.getLogger(__name__)
ALWAYS_GROUPED: Final = ("plan", "region")
_MOST_EXTRA_ATTRIBUTES: Final = 8
_EVENTS_AT_ONCE: Final = 5_000
_CLOCK_SLACK_SECONDS: Final = 5
"""A clock that is set back by no more than this only stands still: time servers correct by as much."""
_USERS_AT_ONCE: Final = 1_000


class LiveWindow:
    """State of one process. All methods belong to one event loop.

    Long work is done in steps of a millisecond or two: a reader's request passes through the loop a dozen times before
    it is answered, and may have to wait for a step each time.
    """

    def __init__(self, database: Database, *, retention_seconds: int, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970 UTC."""
        self.retention_seconds = retention_seconds
        self._database = database
        self._clock = clock
        self._window = Window(retention=retention_seconds, now=int(clock()), names=ALWAYS_GROUPED)
        self._version: Generation | None = None
        self._horizon = 0
        self._forgotten = 0
        self._loaded: dict[int, int] = {}
        self._own: dict[int, Sightings] = {}
        self.writing = asyncio.Lock()
        """Held by the one writer of the reference table in this process: those who wait occupy no connection."""
        self._catching_up = asyncio.Lock()
        self._building = asyncio.Lock()
        self._next_round: asyncio.Task[None] | None = None
        self._rounds: set[asyncio.Task[None]] = set()

    @property
    def version(self) -> Generation | None:
        """The version of the reference table in use, None if there is none."""
        return self._version

    @property
    def labels(self) -> Labels:
        """The reference table in use."""
        return self._window.view.labels

    @property
    def events(self) -> int:
        """How many sightings the window holds."""
        return self._window.events

    def remember(self, seq: int, sightings: Sightings) -> None:
        """A batch that this process has just committed: it need not be read back."""
        if seq not in self._loaded:
            self._own[seq] = sightings

    async def refresh(self) -> None:
        """Returns when everything is taken in that was committed before the call. Concurrent calls share the work.

        Raises what the database raises.
        """
        if self._next_round is None:
            self._next_round = asyncio.ensure_future(self._round())
            self._rounds.add(self._next_round)
            self._next_round.add_done_callback(self._ended)
        await asyncio.shield(self._next_round)

    async def counts(self, seconds: int, names: Collection[str]) -> WindowCounts:
        """The last so many seconds, as the database is now. `names`: attributes to group by besides plan and region."""
        await self.refresh()
        await self._keep_ring_for(names)
        self._window.advance(int(self._clock()))
        return self._window.counts(seconds, dict.fromkeys((*ALWAYS_GROUPED, *names)))

    async def whole_table(self, labels: Labels) -> list[bytes]:
        """A version that `prepare` has built, as stored chunks."""
        payloads: list[bytes] = []
        for payload in labels.chunks(self._window.roster):
            payloads.append(payload)
            await asyncio.sleep(0)
        return payloads

    async def attributes_of(self, user_id: str) -> tuple[dict[str, str] | None, Generation | None]:
        """What the current reference table knows of a user, None if nothing; and the version that says so."""
        await self.refresh()
        return self.labels.of_user(self._window.roster.number(user_id)), self._version

    def knows(self, user_id: str) -> bool:
        """Whether the reference table in use has the user."""
        return self.labels.of_user(self._window.roster.number(user_id)) is not None

    async def prepare(self, generation: int, payloads: Collection[bytes], *, is_change: bool) -> Labels:
        """Builds a version that is about to be committed, so that no reader has to wait for it; readers use the old one
        until then.

        The caller, who holds the lock of writers, commits it, or calls `abandon` when it may not have been committed.
        """
        async with self._building:
            labels = self.labels.copy(generation) if is_change else Labels(generation=generation)
            await self._fill(labels, _each(payloads))
            await self._show_soon(labels)
        return labels

    def abandon(self, generation: int) -> None:
        """Forgets a prepared version: if it was committed after all, it is read from the database."""
        if self._window.is_prepared_for(generation):
            self._window.abandon()

    async def keep_up(self, *, interval_seconds: float) -> None:
        """Refreshes for ever, so that a reader finds little to do. Failures are left to the readers to report."""
        while True:
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 -- a reader that meets the same error reports it
                _LOG.debug("the window could not be refreshed", exc_info=True)
            await asyncio.sleep(interval_seconds)

    async def close(self) -> None:
        """Ends the work that is under way. To be called before the database is closed."""
        for task in tuple(self._rounds):
            task.cancel()
        await asyncio.gather(*self._rounds, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._rounds.discard(task)
        if self._next_round is task:
            self._next_round = None
        # Its callers have the error, unless all of them have left.
        if not task.cancelled():
            task.exception()

    async def _round(self) -> None:
        async with self._catching_up:
            self._next_round = None
            async with self._database.read() as connection:
                await self._catch_up(connection)

    async def _catch_up(self, connection: AsyncConnection) -> None:
        now = int(self._clock())
        if now < self._window.now - _CLOCK_SLACK_SECONDS:
            await self._restart(now)
        self._window.advance(now)
        await self._forget(connection)
        own_before = list(self._own)
        changes = await window_store.changes_since(connection, self._horizon)
        new = changes.batches.keys() - self._loaded.keys()
        await self._take_in((seq, self._own.pop(seq), changes.batches[seq]) for seq in new & self._own.keys())
        missing = [seq for seq in new if seq not in self._loaded]
        async for page in window_store.sightings_of_batches(connection, missing):
            await self._take_in((seq, unpack_sightings(payload), changes.batches[seq]) for seq, payload in page)
        # What was committed before this look has been seen by it or by one before.
        for seq in own_before:
            self._own.pop(seq, None)
        self._horizon = changes.horizon
        self._loaded = {seq: xact_id for seq, xact_id in self._loaded.items() if xact_id >= changes.horizon}
        if changes.generation > self.labels.generation:
            await self._change_version(connection, changes.generation)

    async def _restart(self, now: int) -> None:
        """Builds the window anew from the database: the clock was set back, so what it has dropped may be in it."""
        _LOG.warning("the clock was set back, the window is rebuilt", extra={"seconds": self._window.now - now})
        async with self._building:
            self._window.restart(now)
        self._horizon = 0
        self._loaded = {}

    async def _forget(self, connection: AsyncConnection) -> None:
        """Forgets the users whom somebody has taken out of the stored window since the last look."""
        forgotten = await forgotten_store.since(connection, self._forgotten)
        if not forgotten:
            return
        # What this process has committed itself may still name them; what is stored does not.
        self._own.clear()
        for each in forgotten:
            for count, user_id in enumerate(self._window.roster.everybody()):
                name = each.name_for(user_id)
                if name is not None:
                    self._window.roster.rename(user_id, name)
                if count % _USERS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            self._forgotten = each.seq

    async def _take_in(self, batches: Iterable[tuple[int, Sightings, int]]) -> None:
        """Takes in batches: number, content, transaction id. Some thousand events at a time, whatever their batches."""
        gathered: list[Sightings] = []
        xact_ids: dict[int, int] = {}
        events = 0
        for seq, sightings, xact_id in batches:
            xact_ids[seq] = xact_id
            gathered.append(sightings)
            events += len(sightings.seconds)
            if events >= _EVENTS_AT_ONCE:
                self._window.add(merge_sightings(gathered))
                self._loaded.update(xact_ids)
                gathered, xact_ids, events = [], {}, 0
                await asyncio.sleep(0)
        if gathered:
            self._window.add(merge_sightings(gathered))
            self._loaded.update(xact_ids)

    async def _change_version(self, connection: AsyncConnection, generation: int) -> None:
        version = await reference_store.by_number(connection, generation)
        assert version is not None
        async with self._building:
            if not self._window.is_prepared_for(generation):
                self._window.abandon()
                continues = self._version is not None and self._version.base == version.base
                labels = self.labels.copy(generation) if continues else Labels(generation=generation)
                after = self.labels.generation if continues else 0
                await self._fill(labels, reference_store.chunks(connection, version, after=after))
                await self._show_soon(labels)
            self._window.adopt()
            self._version = version

    async def _fill(self, labels: Labels, payloads: AsyncIterator[bytes]) -> None:
        self._window.keeps_everybody = True
        try:
            async for payload in payloads:
                chunk = unpack_chunk(payload)
                await asyncio.sleep(0)
                for _ in labels.add(chunk, self._window.roster):
                    await asyncio.sleep(0)
        finally:
            self._window.keeps_everybody = False

    async def _show_soon(self, labels: Labels) -> None:
        for _ in self._window.prepare(labels, self._window.view.names):
            await asyncio.sleep(0)

    async def _keep_ring_for(self, names: Collection[str]) -> None:
        view = self._window.view
        wanted = {name for name in names if name in view.labels.attributes} - view.names
        if not wanted or self._building.locked() or self._window.is_preparing:
            return
        async with self._building:
            kept = (
                view.names if len(view.names | wanted) <= _MOST_EXTRA_ATTRIBUTES + len(ALWAYS_GROUPED) else frozenset()
            )
            for _ in self._window.prepare(view.labels, kept | wanted):
                await asyncio.sleep(0)
            self._window.adopt()


async def _each(payloads: Collection[bytes]) -> AsyncIterator[bytes]:
    for payload in payloads:
        yield payload
