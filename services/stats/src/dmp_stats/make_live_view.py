"""Makes one view of the live feed: rates, users, verdicts, the busiest campaigns, the last rejections at one second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_stats.adapters import campaign_store, delta_store
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.domain.rejections import LastRejection
from dmp_stats.list_campaigns import add_pending
from dmp_stats.live_window import LiveWindow
from dmp_stats.read_at_one_fold import read_at_one_fold
from dmp_stats.tally_verdicts import VerdictTally

MOST_CAMPAIGNS: Final = 100
_TOP_MINUTES: Final = 5
_RATE_SECONDS: Final = (10, 60, 300)


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
    rejections: list[LastRejection]
    """What was rejected, the last first."""


class LiveViewMaker:
    """Makes views from the counts in the database, the window in memory and the tally of verdicts."""

    def __init__(
        self,
        database: Database,
        deltas: DeltaCache,
        window: LiveWindow,
        tally: VerdictTally,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._deltas = deltas
        self._window = window
        self._tally = tally
        self._clock = clock

    async def make(self) -> LiveView:
        """The view at this second. Costs three reads of the window in memory and one short read of the database."""
        now = self._clock()
        counts = [await self._window.counts(seconds, ()) for seconds in _RATE_SECONDS]
        last = int(now) // 60
        first = last - _TOP_MINUTES + 1

        async def read(connection: AsyncConnection) -> dict[str, Totals]:
            pending = await delta_store.pending(connection, self._deltas)
            recent = await campaign_store.recent(connection, first=first, last=last)
            seen = {name: total.fold for name, total in recent.items()}
            if pending.folded is not None:
                others = pending.folded.campaigns_between(first, last) - recent.keys()
                seen |= await campaign_store.folds_of(connection, others) if others else {}
            add_pending(recent, pending, None, seen=seen, first=first, end=last + 1)
            return recent

        found = await read_at_one_fold(self._database, read)
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
            rejections=self._tally.last_rejections(),
        )
