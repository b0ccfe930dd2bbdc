"""The queue before the log: groups and the queue are bounded in events and in bytes."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_ingest.adapters.batch_payload import batch_payload
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.rejections import NO_REJECTIONS
from dmp_ingest.submission_queue import MOST_GROUP_BYTES, MOST_QUEUED_BYTES, Submission, SubmissionQueue

MIB = 1 << 20


def event(number: int = 0, length: int = 1) -> AcceptableEvent:
    user = f"{number:0{length}}"
    return AcceptableEvent(
        bytes(16),
        0,
        user,
        "click",
        2,
        user[1:],
        0,
        user[2:],
        user[3:],
        user[4:],
        user[4:],
        (("user_id", user[4:]),),
        b"",
    )


def submission(events: int, size_bytes: int, since: float = 0.0) -> Submission[None]:
    return Submission(
        events=[event()] * events, rejected=NO_REJECTIONS, size_bytes=size_bytes, answer=None, since=since
    )


def queue(*submissions: Submission[None]) -> SubmissionQueue[None]:
    filled: SubmissionQueue[None] = SubmissionQueue(max_events=1000, max_group_events=100)
    for each in submissions:
        filled.add(each)
    return filled


SIZES = st.lists(st.tuples(st.integers(0, 150), st.integers(0, 20 * MIB)), min_size=1, max_size=30)


@given(SIZES)
def test_a_group_has_at_most_its_bytes_and_events_or_one_request(sizes: list[tuple[int, int]]) -> None:
    waiting = queue(*(submission(*size) for size in sizes))
    groups = []
    while waiting:
        groups.append(waiting.take_group())
    for group in groups:
        assert len(group) == 1 or sum(len(each.events) for each in group) <= 100
        assert len(group) == 1 or sum(each.size_bytes for each in group) <= MOST_GROUP_BYTES
    assert [(len(each.events), each.size_bytes) for group in groups for each in group] == sizes
    assert (waiting.events, waiting.is_full, waiting.is_slow) == (0, False, False)


def test_a_queue_is_full_by_events_or_by_bytes() -> None:
    assert not queue(submission(999, 0)).is_full
    assert queue(submission(1000, 0)).is_full
    assert not queue(submission(1, MOST_QUEUED_BYTES - 1)).is_full
    assert queue(submission(1, MOST_QUEUED_BYTES)).is_full


def test_who_has_waited_long_is_taken_and_makes_the_queue_slow() -> None:
    now = time.monotonic()
    waiting = queue(submission(1, 1, now - 10), submission(2, 2, now - 5), submission(3, 3, now))
    assert waiting.is_slow
    assert [len(each.events) for each in waiting.take_older_than(now - 1)] == [1, 2]
    assert (waiting.events, waiting.is_slow) == (3, False)


def test_a_batch_is_hardly_longer_than_what_was_sent_and_far_below_what_a_message_may_have() -> None:
    def payload(events: list[Any]) -> int:
        return len(batch_payload(events, batch_id="0" * 36, accepted_at_us=1_770_000_000_000_000))

    # The most that a request of 16 MiB can have: texts of its own in every field, and ten thousand events.
    largest = [event(number, 255) for number in range(10_000)]
    sent = sum(
        len(text)
        for each in largest
        for text in (each.event_id, each.source, each.campaign_id, each.creative_id, each.user_id)
    )
    assert payload(largest) < sent + 100 * len(largest)
    assert MOST_GROUP_BYTES + 100 * 10_000 < MAX_MESSAGE_BYTES / 4
