"""What `track()` takes, what it refuses at once, and what it makes of it."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from dmp_client import InvalidEventError, SpoolFullError
from dmp_client.event import MAX_EVENT_BYTES, encode_event
from dmp_client.event_id import new_event_id
from dmp_client.spool import MemorySpool

_NOTHING: dict[str, Any] = {
    "event_id": None,
    "campaign_id": None,
    "creative_id": None,
    "source": None,
    "user_id": None,
    "identifiers": None,
    "metadata": None,
    "occurred_at": None,
    "timestamp": None,
    "ts": None,
}


def encoded(type: str = "click", **given: object) -> dict[str, Any]:
    event_id, body = encode_event(type=type, **{**_NOTHING, "campaign_id": "c", "source": "s", **given})
    event: dict[str, Any] = json.loads(body)
    assert event["event_id"] == event_id
    return event


def test_an_event_with_a_campaign_happens_now() -> None:
    before = datetime.now(UTC)
    event = encoded()
    assert before <= datetime.fromisoformat(event["occurred_at"]) <= datetime.now(UTC)
    assert {"ts", "timestamp"}.isdisjoint(event)


def test_an_event_with_a_user_only_takes_the_form_that_may_arrive_late() -> None:
    event = encoded(campaign_id=None, user_id=7)
    assert event["identifiers"] == {"user_id": "7"}
    assert abs(event["timestamp"] - datetime.now(UTC).timestamp()) < 5
    assert "ts" not in event


def test_a_time_is_sent_in_utc() -> None:
    noon = datetime(2026, 2, 10, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert encoded(occurred_at=noon)["occurred_at"] == "2026-02-10T10:00:00.000005Z"
    assert encoded(timestamp=0)["timestamp"] == 0


def test_ids_are_unique_and_sorted_by_time() -> None:
    ids = [new_event_id(time.time_ns()) for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert ids[0][:8] <= ids[-1][:8]
    assert all(event_id[14] == "7" and event_id[19] in "89ab" for event_id in ids)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"type": ""}, "type"),
        ({"event_id": "x" * 256}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"campaign_id": " "}, "campaign_id"),
        ({"campaign_id": None}, "campaign_id"),
        ({"campaign_id": None, "user_id": "u", "source": None}, "source"),
        ({"user_id": True}, "user_id"),
        ({"user_id": 1.5}, "user_id"),
        ({"identifiers": ["a@b.c"]}, "identifiers"),
        ({"identifiers": {"email": 1.5}}, "identifiers.email"),
        ({"occurred_at": datetime(2026, 2, 10)}, "occurred_at"),  # noqa: DTZ001 - the mistake that is tested
        ({"occurred_at": 1_700_000_000}, "occurred_at"),
        ({"timestamp": "now"}, "timestamp"),
        ({"occurred_at": "2026-02-10T10:00:00Z", "timestamp": 1}, "timestamp"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"price": np.float32(1.5)}}, "metadata.price"),
        ({"metadata": {"a": [1, {"b": object()}]}}, "metadata.a[1].b"),
        ({"metadata": {"rate": float("nan")}}, "metadata.rate"),
        ({"metadata": {"text": "\0"}}, "metadata"),
        ({"metadata": {"text": "\ud83d"}}, "metadata"),
        ({"source": "a\0b"}, "source"),
        ({"metadata": {"text": "x" * MAX_EVENT_BYTES}}, "metadata"),
    ],
)
def test_what_can_never_be_an_event_fails_at_the_call_and_names_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        encoded(**given)
    assert caught.value.field == field


def test_metadata_that_contains_itself_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    with pytest.raises(InvalidEventError):
        encoded(metadata=metadata)


def test_text_beyond_ascii_arrives_whole() -> None:
    assert encoded(metadata={"name": "Zoë 🎉"})["metadata"] == {"name": "Zoë 🎉"}


def test_the_spool_in_memory_takes_no_more_memory_than_it_may() -> None:
    spool = MemorySpool(max_bytes=2 << 20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with contextlib.suppress(SpoolFullError):
            while True:
                spool.append(*encode_event(type="click", **{**_NOTHING, "campaign_id": "c", "source": "s"}))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 1 << 20 < taken <= 2 << 20
    assert 2000 < spool.waiting()[0] < 8000
