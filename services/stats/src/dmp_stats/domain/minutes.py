"""The minute in which an event counts: that of its own time, not of its arrival. So a late event changes an old minute.

Minutes are whole ones since 1970 UTC, floored: 21:10:59.999 is in the minute 21:10.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from dmp_chassis.instants import EPOCH

_MINUTE: Final = timedelta(minutes=1)
_MINUTE_US: Final = 60_000_000


def minutes_of_events(occurred_at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The minutes in which events count that happened at these times, in microseconds since 1970 UTC."""
    return occurred_at_us // _MINUTE_US


def minute_of(instant: datetime) -> int:
    """The minute that holds an instant."""
    return (instant - EPOCH) // _MINUTE


def instant_of_minute(minute: int) -> datetime:
    """The instant at which a minute begins."""
    return EPOCH + minute * _MINUTE
