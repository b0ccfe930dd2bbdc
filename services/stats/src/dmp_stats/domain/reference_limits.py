"""What a reference table may be: how wide, and of what time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dmp_chassis.violations import InvalidArgument, Violation
from dmp_stats.domain.errors import StaleReferenceError

MOST_NAMES: Final = 256
"""How many different attribute names a table may have."""
MOST_ENTRIES: Final = 50_000_000
"""The most that users times attribute names may be: each pair takes four bytes of memory on every replica."""
FURTHEST_AHEAD: Final = timedelta(hours=24)

TOO_MANY_NAMES: Final = f"must have at most {MOST_NAMES} different attribute names over all users"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTable:
    """The table that is in place."""

    ts: datetime
    generation: int


def check_ts(ts: datetime, *, now: datetime, current: CurrentTable | None) -> None:
    """Raises InvalidArgument if a new table's `ts` lies too far ahead, StaleReferenceError if it is older."""
    if ts > now + FURTHEST_AHEAD:
        description = "must be at most 24 hours ahead of the server's clock"
        raise InvalidArgument([Violation("ts", description)])
    if current is not None and ts < current.ts:
        raise StaleReferenceError(current_ts=current.ts, generation=current.generation)


def check_size(*, users: int, names: int) -> None:
    """Raises InvalidArgument if a table of so many users and different attribute names would be too wide."""
    if names > MOST_NAMES:
        raise InvalidArgument([Violation("user_metadata", TOO_MANY_NAMES)])
    if users * names > MOST_ENTRIES:
        description = (
            f"has {users:,} users and {names} different attribute names: "
            f"users times names must be at most {MOST_ENTRIES:,}"
        )
        raise InvalidArgument([Violation("user_metadata", description)])
