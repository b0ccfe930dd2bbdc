"""Minutes and seconds as statistics count them: whole ones since 1970 UTC, floored."""

from __future__ import annotations

from datetime import datetime, timedelta

from dmp_chassis.instants import EPOCH


def minute_of(instant: datetime) -> int:
    """Whole minutes since 1970 UTC, floored."""
    return (instant - EPOCH) // timedelta(minutes=1)


def instant_of_minute(minute: int) -> datetime:
    """The start of a minute that is counted from 1970 UTC."""
    return EPOCH + timedelta(minutes=minute)
