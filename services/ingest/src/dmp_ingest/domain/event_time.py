"""Times as whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US: Final = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST_US: Final = (datetime(9999, 12, 30, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
"""The span that the log holds: a day within the calendar's ends, so that every time zone can show it."""

_EXACT_SECONDS: Final = 2.0**32
"""Up to here a double holds seconds to better than half a microsecond."""


def microseconds(moment: datetime | int) -> int:
    """An aware time as microseconds since 1970, exact; what is that already stays as it is."""
    if type(moment) is int:
        return moment
    assert isinstance(moment, datetime)
    seconds = moment.timestamp()
    if 0.0 < seconds < _EXACT_SECONDS:
        return int(seconds * 1_000_000 + 0.5)
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
