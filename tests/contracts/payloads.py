"""Events in the contract's three forms, under ids and values that no other test uses."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Maker: TypeAlias = Callable[..., Json]

PAST_MINUTE = "2026-02-10T21:10:00Z"
PAST_FROM = "2026-02-10T21:00:00Z"
PAST_TO = "2026-02-10T21:59:00Z"


def fresh(prefix: str) -> str:
    """A text that nobody has used: `prefix`, a dash and twelve hexadecimal digits."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def fresh_email() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.org"


def fresh_phone() -> str:
    """A phone number of twelve digits with a leading `+`."""
    return f"+{10**11 + uuid.uuid4().int % (9 * 10**11)}"


def fresh_wallet() -> str:
    """A hexadecimal wallet address with letters of both cases."""
    return f"0xAbC{uuid.uuid4().hex[:12].upper()}dEf"


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z` and microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_now(seconds: float) -> str:
    """The time that is `seconds` ahead (or, if negative, ago), as ISO 8601."""
    return iso(datetime.now(UTC) + timedelta(seconds=seconds))


def campaign_event(**fields: object) -> Json:
    """A valid campaign event (time field `occurred_at`). A field given as `...` is left out."""
    return _event(
        {
            "event_id": str(uuid.uuid4()),
            "type": "click",
            "campaign_id": fresh("camp"),
            "source": "web",
            "occurred_at": PAST_MINUTE,
        },
        fields,
    )


def activity_event(**fields: object) -> Json:
    """A valid activity event (time field `ts`), of now. A field given as `...` is left out."""
    return _event(
        {"event_id": str(uuid.uuid4()), "user_id": fresh("u"), "type": "view", "ts": from_now(0)},
        fields,
    )


def identified_event(**fields: object) -> Json:
    """A valid identified event (time field `timestamp`) with an id. A field given as `...` is left out."""
    return _event(
        {
            "event_id": str(uuid.uuid4()),
            "event_type": "page_view",
            "identifiers": {"email": fresh_email()},
            "source": "analytics_script",
            "timestamp": 1700000000,
        },
        fields,
    )


FORMS = {"campaign": campaign_event, "activity": activity_event, "identified": identified_event}
"""The three forms by name: functions that make a valid event."""


def single(events: list[Json]) -> Json:
    """The body shape of one event."""
    (event,) = events
    return event


def batch(events: list[Json]) -> Json:
    """The body shape `{"source", "events"}`."""
    return {"source": "batch_source", "events": events}


def array(events: list[Json]) -> list[Json]:
    """The body shape of a bare array."""
    return events


SHAPES = {"single": single, "batch": batch, "array": array}
"""The three body shapes by name: functions from a list of events."""


def compact(value: object) -> bytes:
    """JSON without blanks, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def unix_second() -> int:
    """The second that it is."""
    return int(time.time())


def _event(defaults: Json, fields: Json) -> Json:
    return {name: value for name, value in {**defaults, **fields}.items() if value is not ...}
