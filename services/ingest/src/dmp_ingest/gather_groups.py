"""Gathers the events of many requests into groups. Requests put their events in, committers take groups out.

A lone event is a group at once. Under load a group holds whatever arrived while the groups before it were being stored,
so that many requests share the cost of a transaction, a claim and a delivery. The queue in between is bounded: when it
is full, requests are refused and streams wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from dmp_chassis import tracing
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.errors import OverloadedError
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.rejections import Rejections
from dmp_ingest.submission_queue import Submission, SubmissionQueue

_LARGE_GROUP_EVENTS: Final = 500
"""So many waiting events are a group, however many events of other groups are still being stored."""
_LONGEST_GATHERING_SECONDS: Final = 0.03
"""The longest time that events wait for others while other groups are being stored."""
_LONGEST_BUSY_SECONDS: Final = 0.05
"""The longest time that events wait because one request after another comes."""
_TURNS_WITHOUT_A_REQUEST: Final = 3
"""After so many turns of the loop that brought no request none is about to come."""
_RETRY_AFTER_SECONDS: Final = 1.0


class Committed(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to one submission: its events are durable."""

    verdicts: Sequence[Verdict]
    """One for each event, in order."""
    internal_user_ids: Sequence[str]
    """The profile of each event, in order; empty text where it is not known."""
    applied: bool
    """Whether identity and stats have applied all of the events."""


Group: TypeAlias = Sequence[Submission[asyncio.Future[Committed]]]


class GroupGathering:
    """The queue of a process, and the rule that says when its content is worth a group."""

    def __init__(self, *, max_queued_events: int, max_group_events: int) -> None:
        self._queue: SubmissionQueue[asyncio.Future[Committed]] = SubmissionQueue(
            max_events=max_queued_events, max_group_events=max_group_events
        )
        self._events_under_way = 0
        self._gathering_since = 0.0
        self._group_may_be_ready = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._unanswered: set[asyncio.Future[Committed]] = set()

    def refuse_if_full(self) -> None:
        """Raises OverloadedError if the queue is full or slow. Ask this before any work is spent on a request."""
        if self._queue.is_full or self._queue.is_slow:
            raise OverloadedError(retry_after_seconds=_RETRY_AFTER_SECONDS)

    async def wait_for_room(self) -> None:
        """Returns once the queue is not full. A stream is slowed down in this way instead of being refused."""
        while self._queue.is_full:
            self._has_room.clear()
            await self._has_room.wait()

    async def submit(self, events: Sequence[AcceptableEvent], *, rejected: Rejections, size_bytes: int) -> Committed:
        """Returns once the events of a request of this size are durable and, within a time limit, applied.

        Raises CannotStoreError if the log could not store them. It is then not known whether it did: the caller may
        send them again.
        """
        answer: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        if not self._queue:
            self._begin_gathering()
        self._queue.add(
            Submission(
                events=events,
                rejected=rejected,
                size_bytes=size_bytes,
                answer=answer,
                since=time.monotonic(),
                span=tracing.current(),
            )
        )
        self._wake_committer()
        return await answer

    async def take_group(self) -> Group:
        """Waits until there is a group and takes it. Call `end_group` once for each group that was taken."""
        # Another committer may take the group while more come.
        while await self._more_came() or not self._is_group_ready():
            await self._wait_until_ready()
        group = self._queue.take_group()
        self._events_under_way += _size(group)
        if self._queue:
            self._begin_gathering()
        if not self._queue.is_full:
            self._has_room.set()
        return group

    def end_group(self, group: Group) -> None:
        """Nothing has to wait for this group any more: its callers are answered, or will not be."""
        self._events_under_way -= _size(group)
        self._wake_committer()

    def take_overdue(self, *, longest_wait_seconds: float) -> Group:
        """Takes the submissions that have waited for longer than this, for whoever cannot store them."""
        overdue = self._queue.take_older_than(time.monotonic() - longest_wait_seconds)
        if overdue:
            self._has_room.set()
        return overdue

    @property
    def waiting_events(self) -> int:
        """How many events wait in the queue."""
        return self._queue.events

    @property
    def oldest_age_seconds(self) -> float:
        """How long the first request in the queue has waited; 0 if there is none."""
        return self._queue.oldest_age_seconds

    @property
    def unanswered(self) -> set[asyncio.Future[Committed]]:
        """The answers of all submissions that have none yet."""
        return self._unanswered

    def _is_group_ready(self) -> bool:
        """Whether what waits is worth a group.

        While no group is under way, one event is enough. Else as many events must wait as are under way, or any number
        for a short while. So under load two groups take turns, however many callers there are (ADR 0006).
        """
        return bool(self._queue) and (
            self._queue.events >= min(self._events_under_way, _LARGE_GROUP_EVENTS)
            or time.monotonic() - self._gathering_since >= _LONGEST_GATHERING_SECONDS
        )

    async def _wait_until_ready(self) -> None:
        while not self._is_group_ready():
            self._group_may_be_ready.clear()
            await self._group_may_be_ready.wait()

    async def _more_came(self) -> bool:
        """Whether one of the next turns of the loop brought a request. False at once if there is no group yet, if
        enough events wait, or if the first has waited for long enough.

        In a busy loop requests are read that have not been judged yet; a turn or two later they wait here and belong to
        the same group. Whoever is alone waits for three turns of an idle loop, which take no time (ADR 0017).
        """
        waiting = self._queue.events
        if (
            not self._is_group_ready()
            or waiting >= _LARGE_GROUP_EVENTS
            or time.monotonic() - self._gathering_since >= _LONGEST_BUSY_SECONDS
        ):
            return False
        for _ in range(_TURNS_WITHOUT_A_REQUEST):
            await asyncio.sleep(0)
            if self._queue.events != waiting:
                return True
        return False

    def _wake_committer(self) -> None:
        if self._is_group_ready():
            self._group_may_be_ready.set()

    def _begin_gathering(self) -> None:
        self._gathering_since = time.monotonic()
        asyncio.get_running_loop().call_later(_LONGEST_GATHERING_SECONDS, self._wake_committer)


def _size(group: Group) -> int:
    return sum(len(submission.events) for submission in group)
