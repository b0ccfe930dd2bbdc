"""Group commit: all requests, large and small, put their events on one bounded queue; a few committers store what is
there as one group.

A lone event is committed at once. Under load a group holds whatever arrived while the groups before it were being
stored, so the cost of a
transaction, a claim and a delivery is shared. The bound of the queue is the back-pressure.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dmp_chassis.outages import outage
from dmp_ingest.adapters.claims import Claims
from dmp_ingest.adapters.event_log import EventLog
from dmp_ingest.commit_group import GroupCommitted, commit_group, judge_group
from dmp_ingest.deliver_batch import Delivered, Deliverer
from dmp_ingest.domain.errors import CannotStoreError, OverloadedError
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.verdict import Verdict
from dmp_ingest.submission_queue import Submission, SubmissionQueue

_LOG: Final = logging.getLogger(__name__)
_COMMITTERS: Final = 2
_DELIVERIES: Final = 4
_LARGE_GROUP_EVENTS: Final = 500
"""So many events are a group of their own, whatever else is under way."""
_LONGEST_GATHERING_SECONDS: Final = 0.03
"""For how long events wait for others while groups are under way."""
_RETRY_AFTER_SECONDS: Final = 1.0
_SLOW_COMMIT_SECONDS: Final = 0.1
"""After so long a commit is suspected: is the database still there?"""
_CHECK_SECONDS: Final = 0.75
_PATIENCE_SECONDS: Final = _SLOW_COMMIT_SECONDS + _CHECK_SECONDS
"""Who waits while the database is away is told so after about this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became of one submission: a verdict for each event and its profile where it is known, and whether all is
    applied."""

    verdicts: Sequence[Verdict]
    internal_user_ids: Sequence[str]
    applied: bool


_Group: TypeAlias = Sequence[Submission[asyncio.Future[Committed]]]


class GroupCommitter:
    """The queue and its committers, one of each in a process."""

    def __init__(
        self,
        *,
        log: EventLog,
        claims: Claims,
        deliverer: Deliverer,
        announced: Callable[[], None],
        max_queued_events: int,
        max_group_events: int,
        commit_timeout_seconds: float,
        apply_wait_seconds: float,
    ) -> None:
        self._log = log
        self._claims = claims
        self._deliverer = deliverer
        self._announced = announced
        self._commit_timeout_seconds = commit_timeout_seconds
        self._apply_wait_seconds = apply_wait_seconds
        self._queue: SubmissionQueue[asyncio.Future[Committed]] = SubmissionQueue(
            max_events=max_queued_events, max_group_events=max_group_events
        )
        self._unanswered_events = 0
        self._gathering_since = 0.0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._deliveries = asyncio.Semaphore(_DELIVERIES)
        self._delivering: set[asyncio.Task[None]] = set()
        self._unanswered: set[asyncio.Future[Committed]] = set()
        self._abandoned: set[asyncio.Task[GroupCommitted]] = set()

    def refuse_if_full(self) -> None:
        """Raises OverloadedError if the queue is full or slow: to be asked before any work is spent on a request."""
        if self._queue.is_full or self._queue.is_slow:
            raise OverloadedError(retry_after_seconds=_RETRY_AFTER_SECONDS)

    async def wait_for_room(self) -> None:
        """Returns once the queue is not full: how a stream is slowed down instead of refused."""
        while self._queue.is_full:
            self._room.clear()
            await self._room.wait()

    async def submit(self, events: Sequence[AcceptableEvent], *, rejected: int, size_bytes: int) -> Committed:
        """Stores the events of a request of this size; returns once they are durable and, within a limit, applied.

        Raises CannotStoreError if the log could not store them; it may have stored them then, so they are to be sent
        again.
        """
        answer: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        if not self._queue:
            self._begin_gathering()
        self._queue.add(
            Submission(events=events, rejected=rejected, size_bytes=size_bytes, answer=answer, since=time.monotonic())
        )
        self._wake_committer()
        return await answer

    async def commit_loop(self) -> None:
        """Commits groups until cancelled."""
        async with asyncio.TaskGroup() as committers:
            for _ in range(_COMMITTERS):
                committers.create_task(self._commit_groups())

    async def flush(self) -> None:
        """Returns once everything that was submitted has been answered and handed over as far as possible."""
        while self._unanswered or self._delivering:
            await asyncio.gather(*self._unanswered, *self._delivering, return_exceptions=True)
        await self._deliverer.drop_acknowledged()

    async def _commit_groups(self) -> None:
        while True:
            await self._deliveries.acquire()
            while not self._is_group_ready():
                self._arrived.clear()
                await self._arrived.wait()
            group = self._take_group()
            try:
                committed = await self._commit(group)
            except BaseException:
                self._end_group(group)
                raise
            if committed is None:
                self._end_group(group)
                continue
            task = asyncio.create_task(self._deliver(group, committed))
            self._delivering.add(task)
            task.add_done_callback(self._delivering.discard)

    def _is_group_ready(self) -> bool:
        """Whether what waits is worth a group: a lone event is, and while groups are under way as many events as they
        hold, or any after a little while. So under load two groups take turns, however many callers there are."""
        return bool(self._queue) and (
            self._queue.events >= min(self._unanswered_events, _LARGE_GROUP_EVENTS)
            or time.monotonic() - self._gathering_since >= _LONGEST_GATHERING_SECONDS
        )

    def _wake_committer(self) -> None:
        if self._is_group_ready():
            self._arrived.set()

    def _begin_gathering(self) -> None:
        self._gathering_since = time.monotonic()
        asyncio.get_running_loop().call_later(_LONGEST_GATHERING_SECONDS, self._wake_committer)

    def _end_group(self, group: _Group) -> None:
        """To be called once for each group that was taken, when its callers are not to be waited for any more."""
        self._unanswered_events -= sum(len(submission.events) for submission in group)
        self._deliveries.release()
        self._wake_committer()

    def _take_group(self) -> _Group:
        group = self._queue.take_group()
        self._unanswered_events += sum(len(submission.events) for submission in group)
        if self._queue:
            self._begin_gathering()
        if not self._queue.is_full:
            self._room.set()
        return group

    async def _commit(self, group: _Group) -> GroupCommitted | None:
        """Commits a group; answers its submissions with an error and returns None if that is not possible."""
        acknowledged = self._deliverer.take_acknowledged()
        committing = asyncio.ensure_future(
            commit_group(
                [event for submission in group for event in submission.events],
                rejected=sum(submission.rejected for submission in group),
                log=self._log,
                claims=self._claims,
                acknowledged=acknowledged,
                announced=self._announced,
            )
        )
        try:
            async with asyncio.timeout(self._commit_timeout_seconds):
                return await self._watched(committing)
        except BaseException as error:
            self._abandon(committing)
            self._deliverer.give_back(acknowledged)
            if not isinstance(error, Exception):
                raise
            away = outage(error) is not None or isinstance(error, TimeoutError)
            if away:
                _LOG.warning("the log cannot store", extra={"error": type(error).__name__})
            else:
                _LOG.exception("a group could not be stored")
            _refuse([*group, *(self._take_overdue() if away else ())])
            return None

    async def _watched(self, committing: asyncio.Task[GroupCommitted]) -> GroupCommitted:
        """Waits for a commit while the database is there. Raises what either of them raises."""
        while not (await asyncio.wait({committing}, timeout=_SLOW_COMMIT_SECONDS))[0]:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._log.check()
        return committing.result()

    def _abandon(self, committing: asyncio.Task[GroupCommitted]) -> None:
        """Lets a commit end by itself: its callers are not to wait until a database that is away agrees."""
        if not committing.done():
            committing.cancel()
            self._abandoned.add(committing)
            committing.add_done_callback(self._forget)

    def _forget(self, committing: asyncio.Task[GroupCommitted]) -> None:
        self._abandoned.discard(committing)
        if not committing.cancelled() and (error := committing.exception()) is not None:
            _LOG.info("a commit that was given up has failed", extra={"error": type(error).__name__})

    def _take_overdue(self) -> _Group:
        """Those in the queue that have waited as long as anybody should while the database is away."""
        overdue = self._queue.take_older_than(time.monotonic() - _PATIENCE_SECONDS)
        if overdue:
            self._room.set()
        return overdue

    async def _deliver(self, group: _Group, committed: GroupCommitted) -> None:
        """Hands the batch over, answers the submissions, and tells Redis what the log has.

        Consumers that are slower than the limit are not waited for, neither by the callers nor by the next group; but
        the call goes on.
        """
        handing_over = asyncio.ensure_future(self._hand_over(committed))
        try:
            verdicts = await judge_group(committed, log=self._log)
            in_doubt = bool(committed.unsettled) and await self._in_doubt(committed)
            await asyncio.wait({handing_over}, timeout=self._apply_wait_seconds)
            delivered = handing_over.result() if handing_over.done() else Delivered(applied=False)
            self._answer(group, committed, verdicts, delivered, applied=delivered.applied and not in_doubt)
        finally:
            self._end_group(group)
        unsettled = committed.unsettled
        await self._claims.settle(list(unsettled), list(unsettled.values()), applied=not in_doubt)
        applied = (await handing_over).applied
        new = committed.accepted
        if committed.disputed:
            await self._claims.settle([event.key for event in new], [e.fingerprint for e in new], applied=applied)
        elif new:
            await self._claims.settle_group(committed.token, applied=applied)

    async def _hand_over(self, committed: GroupCommitted) -> Delivered:
        """Never raises: what is not handed over now is left to the relay."""
        if committed.batch is None:
            return Delivered(applied=True)
        try:
            return await self._deliverer.deliver(committed.batch)
        except Exception:  # noqa: BLE001  # the group is stored, whatever it is
            _LOG.exception("a batch could not be handed over")
            return Delivered(applied=False)

    async def _in_doubt(self, committed: GroupCommitted) -> bool:
        """Whether an event that was stored before this group may not be applied yet."""
        try:
            return await self._log.undelivered(list(committed.unsettled))
        except Exception as error:  # noqa: BLE001  # the group is stored, whatever it is
            if outage(error) is None:
                _LOG.exception("it is not known whether repeated events are applied")
            return True

    def _answer(
        self,
        group: _Group,
        committed: GroupCommitted,
        verdicts: Sequence[Verdict],
        delivered: Delivered,
        *,
        applied: bool,
    ) -> None:
        profiles = _profiles_of([event for submission in group for event in submission.events], committed, delivered)
        position = 0
        for submission in group:
            end = position + len(submission.events)
            if not submission.answer.done():
                submission.answer.set_result(
                    Committed(
                        verdicts=verdicts[position:end],
                        internal_user_ids=profiles[position:end],
                        applied=applied,
                    )
                )
            position = end


def _profiles_of(events: Sequence[AcceptableEvent], committed: GroupCommitted, delivered: Delivered) -> Sequence[str]:
    """The profile of each event of a group, empty where it is not known."""
    if not delivered.internal_user_ids:
        return [""] * len(events)
    if len(committed.accepted) == len(events):
        # All are new, so the batch has them in their order.
        return delivered.internal_user_ids
    keys = [event.key for event in committed.accepted]
    profiles = dict(zip(keys, delivered.internal_user_ids, strict=True))
    return [profiles.get(event.key, "") for event in events]


def _refuse(submissions: _Group) -> None:
    for submission in submissions:
        if not submission.answer.done():
            submission.answer.set_exception(CannotStoreError())
