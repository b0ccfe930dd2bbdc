"""Lists what was counted, so that it can be compared with the event log, and replaces what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database, raw
from dmp_chassis.errors import DependencyUnavailable
from dmp_stats.adapters import campaign_store, cell_store, delta_store, rollup_store
from dmp_stats.adapters.delta_store import DeltaCache, FoldedMeanwhileError, Pending
from dmp_stats.domain.audit import Fingerprints, Key, fingerprints_of, is_empty
from dmp_stats.domain.cells import Cells
from dmp_stats.domain.errors import CellsChangedError
from dmp_stats.fold_deltas import fold_within, last_fold_shows

_ALL_DELTAS: Final = 1_000_000
_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """New content for some minutes of a campaign."""

    campaign_id: str
    minutes: tuple[int, ...]
    """Whole minutes since 1970 UTC."""
    expected: Fingerprints
    """What the caller has seen in these minutes. If they have something else now, nothing is changed."""
    cells: Cells | None
    """What the minutes get instead; None for no events."""


async def list_cells(
    database: Database, deltas: DeltaCache, *, campaign_id: str, first: int, last: int
) -> AsyncGenerator[Fingerprints]:
    """All cells from minute `first` to minute `last`, both included, at one instant: in order of their keys, in parts.

    An empty `campaign_id` stands for all campaigns. Cells without events are left out. Where the rollups are
    distributed, a fold may come between: then it begins again, or raises DependencyUnavailable if parts have been
    listed.
    """
    begun = False
    for _ in range(_ATTEMPTS):
        try:
            async with database.read() as connection:
                waiting = await _waiting_cells(connection, deltas, campaign_id=campaign_id, first=first, last=last)
                async for part, folds in cell_store.stored_cells(
                    connection, campaign_id=campaign_id, first=first, last=last
                ):
                    yield _in_order(waiting.added_to(part, folds))
                    begun = True
            if left := waiting.left():
                yield _in_order(left)
            return
        except FoldedMeanwhileError:
            if begun:
                break
    raise DependencyUnavailable("postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaitingCells:
    """What stored cells lack, for whoever reads these in the order of their keys."""

    pending: Pending
    unfolded: Fingerprints
    """What is not folded."""
    folded: Fingerprints
    """What the last fold added to campaigns that did not show it before the stored cells were read."""

    def added_to(self, part: Fingerprints, folds: Mapping[str, int]) -> Fingerprints:
        """The part of the stored cells with everything that they lack up to the part's end.

        folds: the last fold that the rows of each campaign include. Raises FoldedMeanwhileError.
        """
        self.pending.beyond(max(folds.values()))
        end = max(part)
        for source in (self.unfolded, self.folded):
            for key in [key for key in source if key <= end]:
                one = source.pop(key)
                if source is self.unfolded or folds.get(key[0], 0) < self.pending.fold:
                    part[key] = part[key].plus(one) if key in part else one
        return part

    def left(self) -> Fingerprints:
        """What lies behind the last stored cell."""
        left = dict(self.unfolded)
        for key, one in self.folded.items():
            left[key] = left[key].plus(one) if key in left else one
        return left


async def _waiting_cells(
    connection: AsyncConnection, deltas: DeltaCache, *, campaign_id: str, first: int, last: int
) -> _WaitingCells:
    pending = await delta_store.pending(connection, deltas)
    wanted = [
        cells for delta in pending.deltas if (cells := delta.of_campaign(campaign_id) if campaign_id else delta.cells)
    ]
    folded: Fingerprints = {}
    if pending.folded is not None:
        parts = [pending.folded.of_campaign(campaign_id) if campaign_id else pending.folded.cells]
        folded = fingerprints_of([cells for cells in parts if cells is not None], first=first, last=last)
        folds = await campaign_store.folds_of(connection, {key[0] for key in folded}) if folded else {}
        folded = {key: one for key, one in folded.items() if folds.get(key[0], 0) < pending.fold}
    return _WaitingCells(pending=pending, unfolded=fingerprints_of(wanted, first=first, last=last), folded=folded)


async def replace_cells(correction: Correction, database: Database, deltas: DeltaCache, *, asked: Asked) -> None:
    """Applies a correction to minutes, hours and days in one transaction.

    All deltas are folded first, so that the rollups are complete. Raises CellsChangedError if the minutes are not as
    the caller expects, DependencyUnavailable if the last fold does not show everywhere.
    """
    campaign_id, minutes = correction.campaign_id, correction.minutes
    async with database.begin() as connection:
        await cell_store.lock_rollups(connection)
        if not await last_fold_shows(connection, deltas):
            raise DependencyUnavailable("postgres")
        await fold_within(connection, deltas, limit=_ALL_DELTAS)
        found: Fingerprints = {}
        async for part, _ in cell_store.stored_cells(
            connection, campaign_id=campaign_id, first=min(minutes), last=max(minutes)
        ):
            found.update({key: one for key, one in part.items() if key[1] in minutes})
        if found != correction.expected:
            raise CellsChangedError
        await cell_store.remove_minutes(connection, campaign_id, minutes)
        if correction.cells is not None:
            await rollup_store.add(connection, correction.cells)
        await cell_store.sum_up_again(connection, campaign_id, minutes)
        action = Action(
            kind="repair_campaign",
            actor=asked.actor,
            result="done",
            refs={"campaign_id": campaign_id},
            counts={"minutes": len(minutes)},
        )
        await record(raw(connection), action)


def _in_order(part: Fingerprints) -> Fingerprints:
    keys: list[Key] = sorted(key for key, one in part.items() if not is_empty(one))
    return {key: part[key] for key in keys}
