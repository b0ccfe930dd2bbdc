"""Compares the last hours again and again, in small steps, so that a metric says what differs before anybody asks.

A step compares some minutes, then pauses for nine times as long as that took, at least for the pause of the settings.
Which minutes are next is in the database: a pass goes on after a restart, and one replica at a time takes steps.

Nothing that is only under way is reported: cells with batches on their way are left out, timelines while a person is
being erased, and a difference counts when a second look finds it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dmp_chassis.outages import outage
from dmp_ingest.adapters.audit_pass_store import AuditPasses
from dmp_ingest.adapters.counted_cells import CountedCells
from dmp_ingest.adapters.log_cells import LogCells
from dmp_ingest.adapters.people import People
from dmp_ingest.audit_events import audit_events, audit_timelines
from dmp_ingest.domain.audit_pass import STEP_MINUTES, AuditPass, Found, going_on
from dmp_ingest.domain.errors import CannotAskError, RangeTooLargeError

_LOG: Final = logging.getLogger(__name__)
_LEASE_SECONDS: Final = 90.0
"""Longer than a pause, so that the one who pauses goes on."""
_SECOND_LOOK_SECONDS: Final = 2.0
_PAUSE_TIMES: Final = 9
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(slots=True, kw_only=True)
class ContinuousAudit:
    """The audit of one replica."""

    passes: AuditPasses
    log: LogCells
    counted: CountedCells
    people: People
    hours: int
    """How far back a pass begins, by the time of the events."""
    pause_seconds: float
    """Between two steps, at least."""
    clock: Callable[[], float] = time.time
    compared_seconds: float = 0.0
    """How long the last step compared. What it waited for does not count, nor what failed."""

    async def run(self) -> None:
        """Takes steps until cancelled."""
        length = STEP_MINUTES
        try:
            while True:
                pause = min(_LONGEST_PAUSE_SECONDS, _PAUSE_TIMES * self.compared_seconds)
                await asyncio.sleep(max(self.pause_seconds, pause))
                self.compared_seconds = 0.0
                length = await self._next(length)
        finally:
            await self._give_back()

    async def _next(self, length: int) -> int:
        """One step of at most so many minutes. Returns the length of the next one."""
        try:
            taken = await self.passes.take(lease_seconds=_LEASE_SECONDS)
            if taken is None:
                return length
            passed, at = taken
            passed = going_on(passed, now_minute=int(self.clock()) // 60, hours=self.hours)
            first, last = passed.step(length)
            await self.passes.note(await self._step(passed, first, last, at))
            return min(STEP_MINUTES, length * 2)
        except RangeTooLargeError:
            return max(1, length // 2)
        except CannotAskError as error:
            _LOG.debug("the continuous audit waits", extra={"for": error.service})
        except Exception as error:
            if outage(error) is None:
                raise
            _LOG.debug("the continuous audit waits", extra={"for": "database"})
        return length

    async def _step(self, passed: AuditPass, first: int, last: int, at: datetime) -> AuditPass:
        try:
            found = await self._look(first, last, at)
        except RangeTooLargeError:
            if first < last:
                raise
            # A single minute that is too large for a step cannot be judged here; an audit on request says so.
            found = Found(unsettled=1)
        if found.counts or found.timelines:
            _LOG.error(
                "what is counted is not what is logged",
                extra={"first_minute": first, "last_minute": last, "cells": found.counts, "timelines": found.timelines},
            )
        return passed.after(last, found)

    async def _look(self, first: int, last: int, at: datetime) -> Found:
        """What differs in these minutes, and still does at a second look."""
        cells, minutes, unsettled = await self._compare(first, last)
        if cells or minutes:
            await asyncio.sleep(_SECOND_LOOK_SECONDS)
            again = await self._compare(first, last)
            cells, minutes = cells & again[0], minutes & again[1]
        if minutes and await self.passes.erased_since(at):
            unsettled, minutes = unsettled + len(minutes), set()
        return Found(counts=len(cells), timelines=len(minutes), unsettled=unsettled)

    async def _compare(self, first: int, last: int) -> tuple[set[object], set[object], int]:
        """The cells that differ, the minutes of timelines that do, and how many could not be judged."""
        began = time.monotonic()
        counts = await audit_events(campaign_id="", first=first, last=last, log=self.log, counted=self.counted)
        timelines = await audit_timelines(first=first, last=last, log=self.log, people=self.people)
        self.compared_seconds += time.monotonic() - began
        open_ones = len(counts.unsettled) + len(timelines.unsettled)
        return set(counts.differing), set(timelines.differing), open_ones

    async def _give_back(self) -> None:
        """Another replica need not wait for the lease to end. If it cannot be told, it waits."""
        try:
            await self.passes.release()
        except Exception:  # noqa: BLE001 -- the process ends, and the lease with it
            _LOG.debug("the continuous audit was not given back", exc_info=True)
