"""When an event happened: which times it may have, in which bounds, and what is said of others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dmp_chassis.instants import instant_us
from dmp_ingest.domain.event import (
    SubmittedEvent,
)
from dmp_ingest.domain.event_time import NO_TIME, SEVERAL_TIMES
from tests.ingest.events import NOW, accepted, campaign, errors_of


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"occurred_at": instant_us(NOW), "ts": instant_us(NOW)},
        {"ts": instant_us(NOW), "timestamp": 1},
        {"occurred_at": instant_us(NOW), "timestamp": 0},
    ],
)
def test_exactly_one_time_is_required(times: dict[str, object]) -> None:
    errors = errors_of(campaign(**{"occurred_at": None, "user_id": "u", **times}))
    assert errors == ({name: [SEVERAL_TIMES] for name in times} if times else {"occurred_at": [NO_TIME]})


@pytest.mark.parametrize("seconds", [-120, 0, 120])
def test_an_activity_event_within_two_minutes_of_the_clock_is_accepted(seconds: int) -> None:
    accepted(campaign(occurred_at=None, ts=instant_us(NOW + timedelta(seconds=seconds)), user_id="u"))


@pytest.mark.parametrize("offset", [timedelta(seconds=120, microseconds=1), -timedelta(seconds=120, microseconds=1)])
def test_an_activity_event_further_from_the_clock_is_refused(offset: timedelta) -> None:
    assert set(errors_of(campaign(occurred_at=None, ts=instant_us(NOW + offset), user_id="u"))) == {"ts"}


def test_a_campaign_event_may_be_old_but_not_a_day_ahead() -> None:
    accepted(campaign(occurred_at=instant_us(datetime(1970, 1, 1, tzinfo=UTC))))
    accepted(campaign(occurred_at=instant_us(NOW + timedelta(hours=24))))
    assert set(errors_of(campaign(occurred_at=instant_us(NOW + timedelta(hours=24, microseconds=1))))) == {
        "occurred_at"
    }
    late = SubmittedEvent(timestamp=NOW.timestamp() + 86401, type="click", source="s", identifiers={"email": "a"})
    assert set(errors_of(late)) == {"timestamp"}


@pytest.mark.parametrize("timestamp", [1e300, -1e300, 10**40, -(10**12), 1e12])
def test_an_impossible_timestamp_is_refused(timestamp: float) -> None:
    event = SubmittedEvent(timestamp=timestamp, type="click", source="s", identifiers={"email": "a"}, event_id="x")
    assert set(errors_of(event)) == {"timestamp"}


def test_a_fraction_of_a_timestamp_is_kept_to_the_microsecond() -> None:
    event = SubmittedEvent(timestamp=1700000000.123456, type="click", source="s", identifiers={"email": "a"})
    assert accepted(event).occurred_at_us == 1_700_000_000_123_456
