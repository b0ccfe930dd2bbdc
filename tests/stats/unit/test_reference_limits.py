"""How wide a reference table may be, and of what time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dmp_chassis.violations import InvalidArgument
from dmp_stats.domain.errors import StaleReferenceError
from dmp_stats.domain.reference_limits import MOST_ENTRIES, MOST_NAMES, CurrentTable, check_size, check_ts

NOW = datetime(2026, 2, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("ahead", [-timedelta(days=9_999), timedelta(0), timedelta(hours=24)])
def test_a_time_up_to_a_day_ahead_is_accepted(ahead: timedelta) -> None:
    check_ts(NOW + ahead, now=NOW, current=None)


def test_a_time_further_ahead_is_invalid() -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_ts(NOW + timedelta(hours=24) + SECOND, now=NOW, current=None)
    (violation,) = raised.value.violations
    assert (violation.field, violation.description) == ("ts", "must be at most 24 hours ahead of the server's clock")


def test_an_older_table_does_not_replace_a_newer_one() -> None:
    current = CurrentTable(ts=NOW, generation=7)
    check_ts(NOW, now=NOW, current=current)
    check_ts(NOW + SECOND, now=NOW, current=current)
    with pytest.raises(StaleReferenceError) as raised:
        check_ts(NOW - SECOND, now=NOW, current=current)
    assert (raised.value.current_ts, raised.value.generation) == (NOW, 7)


def problem(users: int, names: int) -> tuple[str, str] | None:
    try:
        check_size(users=users, names=names)
    except InvalidArgument as error:
        (violation,) = error.violations
        return violation.field, violation.description
    return None


def test_a_table_has_a_bounded_number_of_names_and_of_users_times_names() -> None:
    assert problem(1, MOST_NAMES) is None
    assert problem(MOST_ENTRIES, 1) is None
    assert problem(0, MOST_NAMES + 1) == (
        "user_metadata",
        "must have at most 256 different attribute names over all users",
    )
    assert problem(25_000_001, 2) == (
        "user_metadata",
        "has 25,000,001 users and 2 different attribute names: users times names must be at most 50,000,000",
    )
