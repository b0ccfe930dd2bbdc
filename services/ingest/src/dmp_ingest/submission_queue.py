"""What waits to be stored: submissions in the order of their arrival, taken from the head in groups."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from dmp_ingest.domain.event import AcceptableEvent

MOST_GROUP_BYTES: Final = 16 * 1024 * 1024
"""Of the requests of a group. What identity and stats are handed of them is hardly longer than they are, and far below
what these take in one message; so whatever was stored can be delivered."""
MOST_QUEUED_BYTES: Final = 64 * 1024 * 1024
_LONGEST_WAIT_SECONDS: Final = 4.0
"""When the first in the queue has waited for so long, nobody else may join it."""

_Answer = TypeVar("_Answer")


class Submission(msgspec.Struct, Generic[_Answer], kw_only=True, eq=False):
    """The good events of one request. size_bytes: of the request. since: when it came, by the monotonic clock."""

    events: Sequence[AcceptableEvent]
    rejected: int
    size_bytes: int
    answer: _Answer
    since: float


class SubmissionQueue(Generic[_Answer]):
    """Bounded in events and in bytes: who is to be let in asks `is_full` or `is_slow` before."""

    def __init__(self, *, max_events: int, max_group_events: int) -> None:
        self._max_events = max_events
        self._max_group_events = max_group_events
        self._waiting: deque[Submission[_Answer]] = deque()
        self._bytes = 0
        self.events = 0
        """How many events wait."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether it has as many events or bytes as it may."""
        return self.events >= self._max_events or self._bytes >= MOST_QUEUED_BYTES

    @property
    def is_slow(self) -> bool:
        """Whether its first has waited for too long."""
        return bool(self._waiting) and time.monotonic() - self._waiting[0].since > _LONGEST_WAIT_SECONDS

    def add(self, submission: Submission[_Answer]) -> None:
        """Puts it at the end."""
        self._waiting.append(submission)
        self.events += len(submission.events)
        self._bytes += submission.size_bytes

    def take_group(self) -> list[Submission[_Answer]]:
        """Submissions from the head, as many as make a group; at least one, whatever its size."""
        group = [self._take()]
        events, size = len(group[0].events), group[0].size_bytes
        while self._waiting:
            following = self._waiting[0]
            events += len(following.events)
            size += following.size_bytes
            if events > self._max_group_events or size > MOST_GROUP_BYTES:
                break
            group.append(self._take())
        return group

    def take_older_than(self, before: float) -> list[Submission[_Answer]]:
        """Those that came before this moment of the monotonic clock."""
        taken = []
        while self._waiting and self._waiting[0].since < before:
            taken.append(self._take())
        return taken

    def _take(self) -> Submission[_Answer]:
        submission = self._waiting.popleft()
        self.events -= len(submission.events)
        self._bytes -= submission.size_bytes
        return submission
