"""When an event happened: which times it may have, in which bounds, and what is said of others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dmp_chassis.instants import EARLIEST_US, LATEST_US, OUT_OF_RANGE, instant_us
from dmp_ingest.domain.event import SubmittedEvent
from dmp_ingest.domain.event_time import NO_TIME, SEVERAL_TIMES, event_time_us, plain_time_us
from tests.ingest.events import NOW, NOW_US, POLICY, accepted, campaign, errors_of


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


@pytest.mark.parametrize(
    ("times", "time_us"),
    [
        ({"occurred_at": "2026-02-10T21:10:00.5Z"}, 1_770_757_800_500_000),
        ({"occurred_at": 1_770_757_800_500_000}, 1_770_757_800_500_000),
        ({"timestamp": 1_770_757_800.5}, 1_770_757_800_500_000),
        ({"timestamp": 0.5}, 500_000),
        ({"timestamp": 2**32 - 1}, (2**32 - 1) * 1_000_000),
        # Everything else is looked at more closely.
        ({}, 0),
        ({"occurred_at": "soon"}, 0),
        ({"ts": 1_770_757_800_500_000}, 0),
        ({"ts": 1, "timestamp": 1}, 0),
        ({"ts": 1, "occurred_at": 1}, 0),
        ({"occurred_at": 1, "timestamp": 1}, 0),
        ({"timestamp": 0}, 0),
        ({"timestamp": -1}, 0),
        ({"timestamp": 2**32}, 0),
        ({"timestamp": float("nan")}, 0),
    ],
)
def test_the_usual_time_is_read_at_once(times: dict[str, Any], time_us: int) -> None:
    assert plain_time_us(SubmittedEvent(**times)) == time_us


AHEAD = "must not be more than 24 hours ahead of the server's clock"
SKEWED = "must be within 120 seconds of the server's clock"
MILLISECONDS = "must be a number of Unix seconds; milliseconds?"
DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("times", "time_us", "errors"),
    [
        ({"occurred_at": "2026-02-10T21:10:00.5Z"}, 1_770_757_800_500_000, {}),
        ({"occurred_at": NOW_US}, NOW_US, {}),
        ({"occurred_at": EARLIEST_US}, EARLIEST_US, {}),
        ({"occurred_at": EARLIEST_US - 1}, EARLIEST_US - 1, {"occurred_at": [OUT_OF_RANGE]}),
        ({"occurred_at": NOW_US + DAY_US}, NOW_US + DAY_US, {}),
        ({"occurred_at": NOW_US + DAY_US + 1}, NOW_US + DAY_US + 1, {"occurred_at": [AHEAD]}),
        ({"occurred_at": LATEST_US}, LATEST_US, {"occurred_at": [AHEAD]}),
        ({"occurred_at": LATEST_US + 1}, LATEST_US + 1, {"occurred_at": [OUT_OF_RANGE]}),
        ({"ts": NOW_US - 120_000_000}, NOW_US - 120_000_000, {}),
        ({"ts": NOW_US + 120_000_000}, NOW_US + 120_000_000, {}),
        ({"ts": NOW_US + 120_000_001}, NOW_US + 120_000_001, {"ts": [SKEWED]}),
        ({"ts": NOW_US - 120_000_001}, NOW_US - 120_000_001, {"ts": [SKEWED]}),
        ({"timestamp": 1.5}, 1_500_000, {}),
        ({"timestamp": -1.5}, -1_500_000, {}),
        ({"timestamp": EARLIEST_US / 1_000_000}, EARLIEST_US, {}),
        ({"timestamp": EARLIEST_US // 1_000_000 - 1}, None, {"timestamp": [OUT_OF_RANGE]}),
        ({"timestamp": float("nan")}, None, {"timestamp": [OUT_OF_RANGE]}),
        ({"timestamp": float("inf")}, None, {"timestamp": [MILLISECONDS]}),
        ({"timestamp": -(10**11)}, None, {"timestamp": [MILLISECONDS]}),
    ],
)
def test_every_time_is_read_or_it_is_said_what_is_wrong_with_it(
    times: dict[str, Any], time_us: int | None, errors: dict[str, list[str]]
) -> None:
    found: dict[str, list[str]] = {}
    read_us = event_time_us(SubmittedEvent(**times), POLICY, NOW_US, found)
    assert found == errors
    if time_us is not None:
        assert read_us == time_us
