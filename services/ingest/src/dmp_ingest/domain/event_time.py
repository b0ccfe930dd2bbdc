"""Decides when an event happened: it has one time of three, in its own form, within the bounds of the policy."""

from __future__ import annotations

from typing import Final

from dmp_chassis.instants import EARLIEST_US, LATEST_US, OUT_OF_RANGE, instant_problem, read_instant_us
from dmp_ingest.domain.event import SubmittedEvent
from dmp_ingest.domain.event_policy import EventPolicy

_TIME_FIELDS: Final = ("occurred_at", "ts", "timestamp")
NO_TIME: Final = "is missing: an event has one of occurred_at, ts and timestamp"
SEVERAL_TIMES: Final = "is one time too many: an event has one of occurred_at, ts and timestamp"
_EXACT_SECONDS: Final = 2**32
"""Up to here a double holds seconds to better than half a microsecond."""
_EARLIEST_MILLISECONDS: Final = 10**11
"""As seconds, numbers from here on lie after the year 5138; as milliseconds, after 1973. So they are milliseconds."""


def plain_time_us(event: SubmittedEvent) -> int:
    """The time of an event that has only `occurred_at` or only a usual `timestamp`, in microseconds since 1970. 0 for
    every other event: ask `event_time_us`. It costs a few comparisons, as most events are such.
    """
    seconds = event.timestamp
    if event.ts is not None:
        return 0
    if seconds is None:
        stamp = event.occurred_at
        if stamp is None:
            return 0
        return (read_instant_us(stamp) or 0) if isinstance(stamp, str) else stamp
    return round(seconds * 1_000_000) if event.occurred_at is None and 0 < seconds < _EXACT_SECONDS else 0


def event_time_us(event: SubmittedEvent, policy: EventPolicy, now_us: int, errors: dict[str, list[str]]) -> int:
    """When the event happened, in microseconds since 1970.

    A missing, a second or an impossible time is noted in `errors`; then the answer means nothing.
    """
    campaign, activity, seconds = event.occurred_at, event.ts, event.timestamp
    given = [name for name in _TIME_FIELDS if getattr(event, name) is not None]
    if not given:
        name = "timestamp" if event.event_type is not None else "occurred_at"
        errors[name] = [NO_TIME]
        return 0
    if len(given) > 1:
        errors.update({name: [SEVERAL_TIMES] for name in given})
        return 0
    if seconds is not None:
        field, moment = "timestamp", None
        inside = EARLIEST_US <= seconds * 1_000_000 <= LATEST_US
        occurred_at_us = round(seconds * 1_000_000) if inside else LATEST_US + 1
        if abs(seconds) >= _EARLIEST_MILLISECONDS:
            errors[field] = ["must be a number of Unix seconds; milliseconds?"]
            return 0
    else:
        field, moment = ("occurred_at", campaign) if campaign is not None else ("ts", activity)
        assert moment is not None
        if isinstance(moment, str):
            read_us = read_instant_us(moment)
            if read_us is None:
                errors[field] = [instant_problem(moment)]
                return 0
            moment = read_us
        occurred_at_us = moment
    if not EARLIEST_US <= occurred_at_us <= LATEST_US:
        errors[field] = [OUT_OF_RANGE]
    elif activity is not None:
        if abs(occurred_at_us - now_us) > policy.max_activity_skew_us:
            errors[field] = [f"must be within {policy.max_activity_skew_us // 1_000_000} seconds of the server's clock"]
    elif occurred_at_us - now_us > policy.max_ahead_us:
        errors[field] = [
            f"must not be more than {policy.max_ahead_us // 3_600_000_000} hours ahead of the server's clock"
        ]
    return occurred_at_us
