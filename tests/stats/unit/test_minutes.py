"""The minute in which an event counts."""

from __future__ import annotations

import numpy as np
import pytest

from dmp_chassis.instants import instant_us, parse_instant
from dmp_stats.domain.minutes import instant_of_minute, minute_of, minutes_of_events

# Each case: a time, and the beginning of the minute in which an event of that time counts.
MINUTES = {
    "2026-02-10T21:10:00Z": "2026-02-10T21:10:00Z",
    "2026-02-10T21:10:59.999999Z": "2026-02-10T21:10:00Z",
    "2026-02-10T21:11:00Z": "2026-02-10T21:11:00Z",
    "2026-02-10T21:10:30+05:45": "2026-02-10T15:25:00Z",
    "1970-01-01T00:00:00Z": "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z": "1969-12-31T23:59:00Z",
    "1969-12-31T23:59:00Z": "1969-12-31T23:59:00Z",
}


@pytest.mark.parametrize("time", MINUTES)
def test_an_event_counts_in_the_minute_that_holds_its_time(time: str) -> None:
    happened, begins = parse_instant(time), parse_instant(MINUTES[time])
    assert happened is not None
    assert begins is not None
    minute = minute_of(happened)
    assert instant_of_minute(minute) == begins
    assert minutes_of_events(np.array([instant_us(happened)])).tolist() == [minute]


def test_minutes_are_counted_from_1970() -> None:
    assert [instant_of_minute(minute).isoformat() for minute in (0, -1, 29_512_630)] == [
        "1970-01-01T00:00:00+00:00",
        "1969-12-31T23:59:00+00:00",
        "2026-02-10T21:10:00+00:00",
    ]
