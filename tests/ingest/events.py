"""Submitted events and the default policy, for tests of the pure rules."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from typing import Any

from dmp_ingest.domain.check_event import check_event
from dmp_ingest.domain.event import AcceptableEvent, RejectedEvent, SubmittedEvent
from dmp_ingest.domain.event_key import event_key
from dmp_ingest.settings import parse_policy

POLICY = parse_policy((resources.files("dmp_ingest") / "policy.toml").read_text("utf-8"))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def check(event: SubmittedEvent, *, source: str | None = None) -> AcceptableEvent | RejectedEvent:
    """What the default policy says of an event at noon."""
    event_id = event.event_id
    if event_id is None:
        event_id = "new-id" if event.timestamp is not None else ""
    return check_event(event, event_id, event_key(event_id), POLICY, NOW_US, source or "")


def campaign(**fields: Any) -> SubmittedEvent:  # noqa: ANN401  # any field of an event
    """A valid campaign event with some fields changed."""
    defaults = {"event_id": "a", "type": "click", "source": "web", "campaign_id": "c", "occurred_at": NOW_US}
    return SubmittedEvent(**{**defaults, **fields})


def errors_of(event: SubmittedEvent, *, source: str | None = None) -> dict[str, list[str]]:
    """The problems of an event; none if it is acceptable."""
    result = check(event, source=source)
    return result.errors if isinstance(result, RejectedEvent) else {}


def accepted(event: SubmittedEvent, *, source: str | None = None) -> AcceptableEvent:
    """An event that must be acceptable."""
    result = check(event, source=source)
    assert isinstance(result, AcceptableEvent), result
    return result
