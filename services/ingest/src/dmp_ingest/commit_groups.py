"""Takes groups from the queue, stores them one after another, and lets each be handed over while the next is stored."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from dmp_chassis.metrics import Metrics
from dmp_chassis.outages import outage
from dmp_chassis.tracing import end as end_span
from dmp_chassis.tracing import joined_span
from dmp_ingest.deliver_batch import Deliverer
from dmp_ingest.domain.errors import CannotStoreError
from dmp_ingest.domain.rejections import sum_of
from dmp_ingest.gather_groups import Group, GroupGathering
from dmp_ingest.hand_over_group import GroupHandOver
from dmp_ingest.metrics import CLAIMS, COMMIT, GROUP_EVENTS, GROUP_WAIT
from dmp_ingest.store_group import GroupStores, StoredGroup, store_group
from dmp_ingest.watch_commit import OUTAGE_KNOWN_AFTER_SECONDS, CommitWatch

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_LOG: Final = logging.getLogger(__name__)
_COMMITTERS: Final = 2
_GROUPS_UNDER_WAY: Final = 4
"""So many groups at most are taken and not yet answered; the next one waits in the queue."""


class GroupCommitter:
    """The loops that commit what the gathering holds, one of each in a process."""

    def __init__(
        self,
        *,
        gathering: GroupGathering,
        stores: GroupStores,
        watch: CommitWatch,
        hand_over: GroupHandOver,
        deliverer: Deliverer,
        metrics: Metrics,
    ) -> None:
        self._gathering = gathering
        self._stores = stores
        self._watch = watch
        self._hand_over = hand_over
        self._deliverer = deliverer
        self._metrics = metrics
        self._places = asyncio.Semaphore(_GROUPS_UNDER_WAY)
        self._handing_over: set[asyncio.Task[None]] = set()

    async def commit_loop(self) -> None:
        """Commits groups until cancelled."""
        async with asyncio.TaskGroup() as committers:
            for _ in range(_COMMITTERS):
                committers.create_task(self._commit_groups())

    async def flush(self) -> None:
        """Returns once everything that was submitted has been answered and handed over as far as possible."""
        while self._gathering.unanswered or self._handing_over:
            await asyncio.gather(*self._gathering.unanswered, *self._handing_over, return_exceptions=True)
        await self._deliverer.drop_acknowledged()

    async def _commit_groups(self) -> None:
        while True:
            await self._places.acquire()
            group = await self._gathering.take_group()
            begun = time.monotonic()
            with joined_span("group", [submission.span for submission in group], goes_on=True) as span:
                try:
                    stored = await self._store(group)
                    self._measure(group, stored, begun)
                except BaseException as error:
                    self._end_group(group)
                    end_span(span, error_type=type(error).__name__)
                    raise
                if stored is None:
                    self._end_group(group)
                    end_span(span, error_type="CannotStoreError")
                    continue
                task = asyncio.create_task(self._hand_over.run(group, stored, answered=self._end_group))
            self._handing_over.add(task)
            task.add_done_callback(self._handing_over.discard)
            if span is not None:
                task.add_done_callback(partial(_end_span_of, span))

    def _end_group(self, group: Group) -> None:
        self._places.release()
        self._gathering.end_group(group)

    def _measure(self, group: Group, stored: StoredGroup | None, begun: float) -> None:
        self._metrics.observe(GROUP_WAIT, begun - group[0].since)
        self._metrics.observe(COMMIT, time.monotonic() - begun, "failed" if stored is None else "stored")
        if stored is not None:
            self._metrics.observe(GROUP_EVENTS, len(stored.events))
            self._metrics.add(CLAIMS, len(stored.firsts), "log" if stored.disputed else "redis")

    async def _store(self, group: Group) -> StoredGroup | None:
        """Stores a group. If that is not possible, answers its submissions with an error and returns None."""
        acknowledged = self._deliverer.take_acknowledged()
        try:
            return await self._watch.run(
                store_group(
                    [event for submission in group for event in submission.events],
                    rejected=sum_of([submission.rejected for submission in group if submission.rejected.count]),
                    acknowledged=acknowledged,
                    stores=self._stores,
                )
            )
        except BaseException as error:
            self._deliverer.give_back(acknowledged)
            if not isinstance(error, Exception):
                raise
            away = outage(error) is not None or isinstance(error, TimeoutError)
            if away:
                _LOG.warning("the log cannot store", extra={"error": type(error).__name__})
            else:
                _LOG.exception("a group could not be stored")
            _refuse(group)
            if away:
                _refuse(self._gathering.take_overdue(longest_wait_seconds=OUTAGE_KNOWN_AFTER_SECONDS))
            return None


def _end_span_of(span: Span, handed_over: asyncio.Task[None]) -> None:
    end_span(span)


def _refuse(group: Group) -> None:
    for submission in group:
        if not submission.answer.done():
            submission.answer.set_exception(CannotStoreError())
