"""Points in time as callers write them: ISO 8601 with `Z` or an offset, never naive."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[Tt](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:(?P<utc>[Zz])|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)",
    re.ASCII,
)
_BASIC: Final = re.compile(
    r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?((?:[.,]\d{1,9})?)(Z|[+-]\d\d(?::?\d\d)?)", re.ASCII
)


def parse_instant(text: str) -> datetime | None:
    """The instant in UTC, to the microsecond; None if the text is not an ISO 8601 date and time with `Z` or an offset.

    Seconds may be left out, a fraction may have up to nine digits, 24:00 is the end of the day and second 60 a leap
    second (read as the next second). The basic form without dashes and colons is read too.
    """
    basic = _BASIC.fullmatch(text)
    if basic is not None:
        year, month, day, hour, minute, second, fraction, zone = basic.groups()
        text = f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{fraction or ''}{zone}"
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    microsecond = int((match["fraction"] or "0").ljust(6, "0")[:6])
    offset_hours, offset_minutes = int(match["hours"] or 0), int(match["minutes"] or 0)
    end_of_day = hour == 24 and minute == second == microsecond == 0
    if (hour > 23 and not end_of_day) or minute > 59 or second > 60 or offset_hours > 23 or offset_minutes > 59:
        return None
    offset = timedelta(hours=offset_hours, minutes=offset_minutes)
    try:
        local = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            tzinfo=timezone(-offset if match["sign"] == "-" else offset),
        )
        local += timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microsecond)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_instant(instant: datetime) -> str:
    """The instant in UTC as `2026-02-10T21:10:00Z`, with a fraction only if it has one."""
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"


def minute_of(instant: datetime) -> int:
    """Whole minutes since 1970 UTC, floored."""
    return (instant - _EPOCH) // timedelta(minutes=1)


def instant_of_minute(minute: int) -> datetime:
    """The start of a minute that is counted from 1970 UTC."""
    return _EPOCH + timedelta(minutes=minute)


def second_of(instant: datetime) -> int:
    """Whole seconds since 1970 UTC, floored."""
    return (instant - _EPOCH) // timedelta(seconds=1)
