"""Answers which campaigns had events in a range, and how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_chassis.page_token import NOT_FROM_US, position_of, token_of
from dmp_chassis.violations import InvalidArgument, Violations
from dmp_stats.adapters import campaign_store, delta_store
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.adapters.delta_store import DeltaCache, Pending
from dmp_stats.domain.buckets import ranges_between
from dmp_stats.domain.minutes import minute_of
from dmp_stats.domain.stats_query import check_range
from dmp_stats.read_at_one_fold import read_at_one_fold

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignsQuery:
    """Which campaigns are asked for."""

    start: datetime
    end: datetime
    page_size: int
    after: str
    """The last id of the page before; the page begins with the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignsPage:
    """One page of campaigns."""

    campaigns: dict[str, Totals]
    """By id, in the order of the ids."""
    next_after: str | None
    """The last id, with which the next page is asked for; None if this is the last page."""


def check_campaigns_query(*, start: str, end: str, page_size: int, page_token: str) -> CampaignsQuery:
    """The question that these parameters ask. Raises InvalidArgument, which names every wrong parameter."""
    problems = Violations()
    problem = problems.add
    first, last = check_range(start, end, problem)
    if not 0 <= page_size <= _LARGEST_PAGE:
        problem("page_size", f"must be between 1 and {_LARGEST_PAGE}")
    after = position_of(page_token, str) if page_token else ""
    if after is None or "\0" in after:
        problems.add("page_token", NOT_FROM_US)
    if problems or first is None or last is None or after is None:
        raise InvalidArgument(problems)
    return CampaignsQuery(start=first, end=last, page_size=page_size or _DEFAULT_PAGE, after=after)


def token_after(next_after: str | None) -> str:
    """The page token for the page after this id; empty if there is none."""
    return "" if next_after is None else token_of(next_after)


async def list_campaigns(query: CampaignsQuery, database: Database, deltas: DeltaCache) -> CampaignsPage:
    """One page of campaigns: stored rows and deltas that are not folded yet, at one instant."""
    first, end = minute_of(query.start), minute_of(query.end) + 1

    async def read(connection: AsyncConnection) -> tuple[list[str], list[str], dict[str, Totals]]:
        pending = await delta_store.pending(connection, deltas)
        folds = await campaign_store.folds_after(connection, query.after, limit=query.page_size + 1)
        waiting = {name for delta in pending.beyond(0) for name in delta.rows if name > query.after}
        names = sorted(waiting.union(folds))
        # Beyond the last stored name there may be more that were not read.
        if len(folds) > query.page_size:
            names = [name for name in names if name <= max(folds)]
        page = names[: query.page_size]
        found = await campaign_store.totals(connection, page, ranges_between(first, end), first=first, end=end)
        seen = folds | {name: total.fold for name, total in found.items()}
        add_pending(found, pending, page, seen=seen, first=first, end=end)
        return names, page, found

    names, page, found = await read_at_one_fold(database, read)
    campaigns = {name: found[name] for name in page if name in found and found[name].events > 0}
    return CampaignsPage(campaigns=campaigns, next_after=page[-1] if len(names) > len(page) else None)


def add_pending(
    found: dict[str, Totals],
    pending: Pending,
    names: Iterable[str] | None,
    *,
    seen: Mapping[str, int],
    first: int,
    end: int,
) -> None:
    """Adds what the stored rows of these campaigns (None: of all) lack in the minutes from `first` up to `end`.

    seen: the last fold that the rows of a campaign include; 0 where it is not named. Raises FoldedMeanwhileError.
    """
    chosen = None if names is None else set(names)
    pending.beyond(max(seen.values(), default=0))
    for delta in pending.beyond(0):
        for name in delta.rows if chosen is None else chosen & delta.rows.keys():
            if delta is pending.folded and seen.get(name) == pending.fold:
                continue
            cells = delta.of_campaign(name)
            if cells is None:
                continue
            inside = (cells.minutes >= first) & (cells.minutes < end)
            if inside.any():
                total = found.setdefault(name, Totals())
                total.last_minute = max(total.last_minute, int(cells.minutes[inside].max()))
                for counts_as, count in zip(
                    cells.counts_as[inside].tolist(), cells.counts[inside].tolist(), strict=True
                ):
                    total.add(counts_as, count)
