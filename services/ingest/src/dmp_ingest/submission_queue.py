"""The queue of submissions that wait to be stored: in order of arrival, bounded, taken from the head in groups."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.rejections import Rejections

if TYPE_CHECKING:
    from opentelemetry.trace import Span
else:
    Span: TypeAlias = Any  # msgspec reads the types of fields, and the library is not always there

MOST_GROUP_BYTES: Final = 16 * 1024 * 1024
"""The most bytes of requests in one group. The batch that identity and stats receive for a group is hardly longer than
the requests, and far shorter than the longest message that they accept. So whatever was stored can be delivered."""
MOST_QUEUED_BYTES: Final = 64 * 1024 * 1024
_LONGEST_WAIT_SECONDS: Final = 4.0
"""If the first submission has waited for longer than this, the queue is slow and accepts no new requests."""

_Answer = TypeVar("_Answer")


class Submission(msgspec.Struct, Generic[_Answer], kw_only=True, eq=False):
    """The valid events of one request, and where its answer goes."""

    events: Sequence[AcceptableEvent]
    rejected: Rejections
    """The invalid events that came with them. They are not stored, only announced."""
    size_bytes: int
    """The size of the request."""
    answer: _Answer
    since: float
    """When the submission came, by the monotonic clock."""
    span: Span | None = None
    """Of the request, if it is traced."""


class SubmissionQueue(Generic[_Answer]):
    """Bounded in events and in bytes. It does not refuse anything itself: ask `is_full` and `is_slow` before `add`."""

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
        """Whether its first submission has waited for too long."""
        return bool(self._waiting) and time.monotonic() - self._waiting[0].since > _LONGEST_WAIT_SECONDS

    @property
    def oldest_age_seconds(self) -> float:
        """How long the first submission has waited; 0 if there is none."""
        return time.monotonic() - self._waiting[0].since if self._waiting else 0.0

    def add(self, submission: Submission[_Answer]) -> None:
        """Puts a submission at the end."""
        self._waiting.append(submission)
        self.events += len(submission.events)
        self._bytes += submission.size_bytes

    def take_group(self) -> list[Submission[_Answer]]:
        """Takes submissions from the head, as many as fit into one group; at least one, whatever its size."""
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
        """Takes the submissions that came before this moment of the monotonic clock."""
        taken = []
        while self._waiting and self._waiting[0].since < before:
            taken.append(self._take())
        return taken

    def _take(self) -> Submission[_Answer]:
        submission = self._waiting.popleft()
        self.events -= len(submission.events)
        self._bytes -= submission.size_bytes
        return submission
