"""Proves that what was counted is what was logged, cell by cell; and repairs what is not, from the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dmp_ingest.adapters.counted_cells import CellsChangedError, CountedCells
from dmp_ingest.adapters.log_cells import LogCells
from dmp_ingest.adapters.people import People
from dmp_ingest.domain.audit import CellKey, CellSums, MinuteSum, compare
from dmp_ingest.domain.event_policy import EventPolicy

_ROUNDS: Final = 8
_PAUSE_SECONDS: Final = 0.5
_MINUTES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """The comparison of a range of minutes."""

    logged: CellSums
    """What the log has."""
    counted: CellSums
    """What was counted."""
    differing: list[CellKey] = field(default_factory=list)
    """The cells that differ, in order."""
    unsettled: set[CellKey] = field(default_factory=set)
    """The cells that could not be compared, because events for them kept arriving."""


async def audit_events(*, campaign_id: str, first: int, last: int, log: LogCells, counted: CountedCells) -> Audited:
    """Compares the minutes from `first` to `last`, both included. An empty campaign stands for all campaigns.

    Cells for which events are on their way are compared again, a few times. Raises CannotAskError.
    """
    before: CellSums = await counted.read(campaign_id=campaign_id, first=first, last=last)
    for left in reversed(range(_ROUNDS)):
        logged = await log.read(campaign_id=campaign_id, first=first, last=last)
        after = await counted.read(campaign_id=campaign_id, first=first, last=last)
        result = compare(before=before, logged=logged.cells, on_their_way=logged.on_their_way, after=after)
        audited = Audited(logged=logged.cells, counted=after, differing=result.differing, unsettled=result.open)
        if not result.open or not left:
            return audited
        before = after
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable: the last round returns")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedTimelines:
    """The comparison of a range by minute: events that name a person against entries of timelines."""

    logged: Mapping[int, MinuteSum]
    """What the log has, by minute."""
    entries: Mapping[int, MinuteSum]
    """What the timelines have, by minute."""
    differing: list[int]
    """The minutes that differ, in order."""
    unsettled: set[int]
    """The minutes that could not be compared, because events for them kept arriving."""


async def audit_timelines(*, first: int, last: int, log: LogCells, people: People) -> AuditedTimelines:
    """Compares the minutes from `first` to `last`, both included, as `audit_events` does. Raises CannotAskError."""
    before = await people.entries(first=first, last=last)
    for left in reversed(range(_ROUNDS)):
        logged, on_their_way = await log.read_named(first=first, last=last)
        after = await people.entries(first=first, last=last)
        result = compare(before=before, logged=logged, on_their_way=on_their_way, after=after)
        if not result.open or not left:
            return AuditedTimelines(logged=logged, entries=after, differing=result.differing, unsettled=result.open)
        before = after
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable: the last round returns")


async def repair_campaign(
    *, campaign_id: str, first: int, last: int, log: LogCells, counted: CountedCells, policy: EventPolicy
) -> list[int]:
    """Replaces every minute of a campaign that differs by what the log has. Returns these minutes, in order.

    A minute for which events keep arriving is left for a later repair. Raises CannotAskError.
    """
    audited = await audit_events(campaign_id=campaign_id, first=first, last=last, log=log, counted=counted)
    wrong = sorted({key.minute for key in audited.differing})
    repaired: list[int] = []
    for start in range(0, len(wrong), _MINUTES_AT_ONCE):
        minutes = wrong[start : start + _MINUTES_AT_ONCE]
        if await _repair(campaign_id, minutes, log=log, counted=counted, policy=policy):
            repaired += minutes
    return repaired


async def _repair(
    campaign_id: str, minutes: list[int], *, log: LogCells, counted: CountedCells, policy: EventPolicy
) -> bool:
    """Replaces these minutes. Returns False if events for them kept arriving.

    The counts are read before the log. Stats replaces them only if they are still the same: then nothing was counted in
    between, and what was read of the log is all there is.
    """
    wanted = set(minutes)
    for _ in range(_ROUNDS):
        cells = await counted.read(campaign_id=campaign_id, first=minutes[0], last=minutes[-1])
        expected = {key: cell for key, cell in cells.items() if key.minute in wanted}
        logged, on_their_way = await log.read_detailed(campaign_id=campaign_id, minutes=minutes)
        if not on_their_way:
            try:
                await counted.replace(
                    campaign_id=campaign_id, minutes=minutes, expected=expected, cells=logged, policy=policy
                )
            except CellsChangedError:
                pass
            else:
                return True
        await asyncio.sleep(_PAUSE_SECONDS)
    return False
