"""Lists what was counted, so that it can be compared with the event log, and replaces what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from dmp_chassis.actions import Action, Asked, record
from dmp_chassis.database import Database, raw
from dmp_stats.adapters import cell_store, delta_store, rollup_store
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.domain.audit import Fingerprints, Key, fingerprints_of, is_empty
from dmp_stats.domain.cells import Cells, merge_cells
from dmp_stats.domain.errors import CellsChangedError

_ALL_DELTAS: Final = 1_000_000


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

    An empty `campaign_id` stands for all campaigns. Cells without events are left out.
    """
    async with database.read() as connection:
        pending = await delta_store.pending(connection, deltas)
        wanted = [
            cells for delta in pending if (cells := delta.of_campaign(campaign_id) if campaign_id else delta.cells)
        ]
        waiting = fingerprints_of(wanted, first=first, last=last)
        async for part in cell_store.stored_cells(connection, campaign_id=campaign_id, first=first, last=last):
            end = max(part)
            for key in [key for key in waiting if key <= end]:
                one = waiting.pop(key)
                part[key] = part[key].plus(one) if key in part else one
            yield _in_order(part)
    if waiting:
        yield _in_order(waiting)


async def replace_cells(correction: Correction, database: Database, deltas: DeltaCache, *, asked: Asked) -> None:
    """Applies a correction to minutes, hours and days in one transaction.

    All deltas are folded first, so that the rollups are complete. Raises CellsChangedError if the minutes are not as
    the caller expects.
    """
    campaign_id, minutes = correction.campaign_id, correction.minutes
    async with database.begin() as connection:
        await cell_store.lock_rollups(connection)
        pending = await delta_store.take(connection, deltas, limit=_ALL_DELTAS)
        if pending:
            await rollup_store.add(connection, merge_cells([delta.cells for delta in pending]))
        found: Fingerprints = {}
        async for part in cell_store.stored_cells(
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
