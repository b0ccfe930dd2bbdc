"""Answers about events and counts. Times are aware datetimes in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec


class StatsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one bucket that starts at `ts`. group: the value of what the question grouped by, else empty."""

    ts: datetime
    impressions: int = 0
    clicks: int = 0
    events: int = 0
    group: str = ""


class Stats(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A campaign's counts over a range, in order of time."""

    campaign_id: str
    from_: datetime
    to: datetime
    granularity: str
    series: Sequence[StatsPoint] = ()
    tz: str = "UTC"
    group_by: str = ""
    next_page_token: str = ""


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign and what it counted in a range. unfilled_macro: an ad server did not fill its template."""

    campaign_id: str
    impressions: int = 0
    clicks: int = 0
    events: int = 0
    click_through_rate: float = 0.0
    last_activity: datetime | None = None
    unfilled_macro: bool = False


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The sliding window. by: for each grouped attribute the events of each of its values."""

    window_sec: int
    events_per_sec: float
    unique_users: int
    unknown: int
    unknown_users: int = 0
    events: int = 0
    generation: int = 0
    by: Mapping[str, Mapping[str, int]] = {}


class ReferenceWritten(msgspec.Struct, frozen=True, kw_only=True):
    """The reference table was replaced or changed."""

    message: str
    generation: int
    users: int = 0


class ReferenceState(msgspec.Struct, frozen=True, kw_only=True):
    """Which reference table is in force. ts: None if there never was one."""

    generation: int
    users: int
    ts: datetime | None = None


class ReferenceUser(msgspec.Struct, frozen=True, kw_only=True):
    """What the reference table knows of one user."""

    user_id: str
    attributes: Mapping[str, Any] = {}
    generation: int = 0
    ts: datetime | None = None


class LiveRates(msgspec.Struct, frozen=True, kw_only=True):
    """Events with a user per second, over some time that ends now."""

    last_10_seconds: float = 0.0
    last_minute: float = 0.0
    last_5_minutes: float = 0.0


class LiveVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered in the last minute."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


class LiveRejection(msgspec.Struct, frozen=True, kw_only=True):
    """Rejected events of one kind. ts: the last time. events: how many in the minute of that time."""

    ts: datetime
    form: str = ""
    field: str = ""
    reason: str = ""
    events: int = 0


class LiveSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One second of what is going on.

    users: different ones in the last minute. top_campaigns: of the last minutes. last_rejections: the last first.
    """

    ts: datetime
    events_per_sec: LiveRates = LiveRates()
    users: int = 0
    generation: int = 0
    verdicts: LiveVerdicts = LiveVerdicts()
    top_campaigns: Sequence[Campaign] = ()
    last_rejections: Sequence[LiveRejection] = ()


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the log holds it."""

    event_id: str
    type: str
    source: str = ""
    occurred_at: datetime | None = None
    campaign_id: str = ""
    creative_id: str = ""
    user_id: str = ""
    identifiers: Mapping[str, str] = {}
    metadata: Mapping[str, Any] | None = None
    received_at: datetime | None = None
    batch_id: str = ""


class CountedIn(msgspec.Struct, frozen=True, kw_only=True):
    """The cell in which an event is counted. counts_as: `impression`, `click`, or empty for an event only."""

    campaign_id: str
    minute: datetime | None = None
    type: str = ""
    counts_as: str = ""


class EventFate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event: as stored, whether identity and stats have it, where it is counted, and whose it is."""

    event: StoredEvent
    delivered: bool = False
    counted_in: CountedIn | None = None
    internal_user_id: str = ""


class CellDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A minute of a campaign that is counted otherwise than logged."""

    campaign_id: str
    type: str
    minute: datetime | None = None
    logged: int = 0
    counted: int = 0


class TimelineDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A minute for which the log has another number of events of people than the timelines have entries."""

    minute: datetime | None = None
    logged: int = 0
    entries: int = 0


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what was counted is what was logged, in one range.

    unsettled: cells and minutes that could not be compared because events for them kept arriving.
    """

    clean: bool
    events: int = 0
    cells: int = 0
    differences: Sequence[CellDifference] = ()
    unsettled: int = 0
    identified_events: int = 0
    timeline_entries: int = 0
    timeline_differences: Sequence[TimelineDifference] = ()
    next_page_token: str = ""


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """The minutes of a campaign whose counts were replaced by those of the log."""

    minutes: Sequence[datetime] = ()
    next_page_token: str = ""


class SystemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the whole system can do its work. degraded: what is missing without harm."""

    ok: bool = False
    status: str = ""
    degraded: Sequence[str] = ()
