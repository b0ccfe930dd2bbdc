"""The one rule for points in time that callers write: RFC 3339, read to the microsecond.

A time is `2026-02-10T21:10:00.123456Z`: date and time with `T`, `t` or a space between them, seconds always, then `Z`,
`z` or an offset (`+01:00`, also `+0100`). Digits of a fraction beyond six are cut, never rounded: rounding up could
move an event into the next minute. There is no second 60 and no hour 24; week dates, ordinal dates, the basic form
and times without seconds are refused. A protobuf Timestamp is cut the same way.

This module knows no service and does no I/O: `domain` packages may import it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
EARLIEST_US: Final = (datetime(2, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
LATEST_US: Final = (datetime(9998, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND - 1
"""The span of all times, in microseconds since 1970: a year and more within the calendar's ends, so that every time
zone can show each of them and the longest range of buckets around it."""

OUT_OF_RANGE: Final = "must lie between the years 2 and 9997"
WRONG_FORM: Final = "must be an RFC 3339 time with Z or an offset, such as 2026-02-10T21:10:00Z"
"""What is said of every text that is no time; `instant_problem` adds what is wrong with it."""

_MINUTE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):", re.ASCII).fullmatch
_REST: Final = re.compile(r"(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))", re.ASCII).fullmatch
_SECONDS_US: Final = {f"{second:02}": second * 1_000_000 for second in range(60)}
_MICROSECONDS_LENGTH: Final = len(".123456Z")
_LONGEST_REMEMBERED: Final = len(".123456+01:00")
_LONGEST_EXPLAINED: Final = 64

_DATE: Final = r"\d{4}-\d\d-\d\d"
_CLOCK: Final = rf"{_DATE}[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?"
_ZONE: Final = r"(?:[Zz]|[+-]\d\d:?\d\d)"
_REASONS: Final = tuple(
    (re.compile(pattern, re.ASCII).fullmatch, reason)
    for pattern, reason in (
        (r"-?\d{12,}(?:\.\d*)?", "it is a number; milliseconds?"),
        (r"-?\d+(?:\.\d*)?", "it is a number"),
        (rf"{_CLOCK} \d\d:?\d\d", "its offset has no sign; the + of an offset is written %2B in a URL"),
        (rf"{_DATE}[Tt ]24:.*", "there is no hour 24; midnight is 00:00:00 of the next day"),
        (rf"{_DATE}[Tt ]\d\d:\d\d:60.*", "there is no second 60"),
        (r"\d{4}-?W.*", "it is a week date"),
        (r"\d{4}-?\d{3}(?:[Tt ].*)?", "it is an ordinal date"),
        (rf"\d{{8}}(?:[Tt ].*)?|{_DATE}[Tt ]\d{{4,6}}(?:\D.*)?", "its dashes and colons are missing"),
        (_DATE, "the time of day is missing"),
        (rf"{_DATE}[Tt ]\d\d:\d\d{_ZONE}?", "its seconds are missing"),
        (_CLOCK, "Z or an offset is missing"),
        (rf"{_CLOCK}[+-]\d\d?", "an offset is written as +01:00"),
        (rf"{_DATE}[Tt ]\d\d:\d\d:\d\d,\d+{_ZONE}", "a fraction is written with a point"),
        (rf"{_CLOCK}{_ZONE}", "there is no such date or time"),
    )
)


def read_instant_us(text: str) -> int | None:
    """The time in microseconds since 1970 UTC, None if the text is no time (see `instant_problem`).

    Costs half a microsecond if minute and fraction were seen lately, as in most bodies, else up to three.
    """
    minute_us, second_us = _minute_us(text[:17]), _SECONDS_US.get(text[17:19])
    if minute_us is None or second_us is None:
        return None
    rest = text[19:]
    if len(rest) == _MICROSECONDS_LENGTH and rest[0] == "." and rest[7] == "Z" and rest[1:7].isdecimal():
        # Hardly two of these are equal. Decimal digits of other scripts are not ours.
        rest_us = int(rest[1:7]) if rest.isascii() else None
    else:
        rest_us = _remembered_us(rest) if len(rest) <= _LONGEST_REMEMBERED else _rest_us(rest)
    if rest_us is None:
        return None
    at_us = minute_us + second_us + rest_us
    return at_us if EARLIEST_US <= at_us <= LATEST_US else None


@lru_cache(maxsize=4096)
def _minute_us(text: str) -> int | None:
    """The start of a minute that is written as `2026-02-10T21:10:`, without its offset."""
    match = _MINUTE(text)
    if match is None:
        return None
    try:
        minute = datetime(*map(int, match.groups()), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    return (minute - EPOCH) // _MICROSECOND


def _rest_us(rest: str) -> int | None:
    """What a fraction and an offset, written as `.123+01:00`, add to a time."""
    match = _REST(rest)
    if match is None:
        return None
    fraction, sign, hours, minutes = match.groups()
    rest_us = int(fraction[:6].ljust(6, "0")) if fraction else 0
    if sign:
        offset_us = (int(hours) * 60 + int(minutes)) * 60_000_000
        rest_us += offset_us if sign == "-" else -offset_us
    return rest_us


_remembered_us: Final = lru_cache(maxsize=4096)(_rest_us)


def parse_instant(text: str) -> datetime | None:
    """The time in UTC, None if the text is no time (see `instant_problem`)."""
    at_us = read_instant_us(text)
    return None if at_us is None else instant_from_us(at_us)


def instant_problem(text: str) -> str:
    """A sentence without its subject that says why a text that `read_instant_us` refuses is no time."""
    if len(text) > _LONGEST_EXPLAINED:
        return WRONG_FORM
    if _REST(text[19:]) and text[17:19] in _SECONDS_US and _minute_us(text[:17]) is not None:
        return OUT_OF_RANGE
    for matches, reason in _REASONS:
        if matches(text):
            return f"{WRONG_FORM}: {reason}"
    return WRONG_FORM


def timestamp_us(seconds: int, nanos: int) -> int | None:
    """A protobuf Timestamp in microseconds since 1970, cut like text; None if it is outside the span of all times or
    its nanos are outside 0 to 999,999,999. *Source:* google/protobuf/timestamp.proto."""
    at_us = seconds * 1_000_000 + nanos // 1000
    return at_us if 0 <= nanos <= 999_999_999 and EARLIEST_US <= at_us <= LATEST_US else None


def instant_us(instant: datetime) -> int:
    """An aware time in microseconds since 1970, exact."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_from_us(at_us: int) -> datetime:
    """Microseconds since 1970 as a time in UTC."""
    return EPOCH + timedelta(microseconds=at_us)


def format_instant(instant: datetime) -> str:
    """The time in UTC as `2026-02-10T21:10:00Z`, with a fraction only if it has one."""
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"
