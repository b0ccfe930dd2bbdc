"""CONTRACT 1: the time field names the form; what it may hold; how late and how early an event may be."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.contracts.answers import (
    assert_names_field,
    campaign_series,
    person_of,
    post_events,
    rejected_errors,
    stored,
    user,
)
from tests.contracts.payloads import activity_event, campaign_event, compact, fresh, from_now, identified_event

DAY_SECONDS = 86_400

READABLE = {
    "2026-02-10T21:10:00Z": 1770757800.0,
    "2026-02-10T21:10:00.5Z": 1770757800.5,
    "2026-02-10T21:10:00.789Z": 1770757800.789,
    "2026-02-10T21:10:00.123456Z": 1770757800.123456,
    "2026-02-10T22:10:00+01:00": 1770757800.0,
    "2026-02-10T15:40:00-05:30": 1770757800.0,
    "2024-02-29T23:59:59+00:00": 1709251199.0,
}
UNREADABLE: list[Any] = [
    "2026-02-10T21:10:00",
    "2026-02-10",
    "21:10:00Z",
    "yesterday",
    "",
    "   ",
    "2026-02-30T21:10:00Z",
    "2026-13-01T00:00:00Z",
    "2026-02-10T25:10:00Z",
    "2026-02-10T21:61:00Z",
    "1770757800",
    1770757800,
    1770757800.5,
    True,
    [],
    {},
    "99999-01-01T00:00:00Z",
    "2026-02-10T21:10:00+99:00",
]
NO_UNIX_SECONDS: list[Any] = ["1700000000", "2026-02-10T21:10:00Z", "", True, False, [], {}, "abc"]


@pytest.mark.parametrize("text", READABLE)
def test_occurred_at_is_iso_8601_and_kept_as_utc(api: httpx.Client, text: str) -> None:
    profile = person_of(api, campaign_event(occurred_at=text, user_id=fresh("u")))
    (event,) = user(api, profile)["events"]
    assert event["timestamp"] == pytest.approx(READABLE[text], abs=1e-6)


def test_an_offset_counts_in_the_utc_minute(api: httpx.Client) -> None:
    campaign = fresh("camp")
    stored(api, campaign_event(campaign_id=campaign, occurred_at="2026-02-11T02:45:59.999+05:30"))
    assert [point["ts"] for point in campaign_series(api, campaign)] == ["2026-02-10T21:15:00Z"]


@pytest.mark.parametrize("value", UNREADABLE, ids=repr)
def test_an_unreadable_occurred_at_is_named(api: httpx.Client, value: object) -> None:
    assert_names_field(rejected_errors(post_events(api, campaign_event(occurred_at=value))), "occurred_at")


@pytest.mark.parametrize("value", UNREADABLE, ids=repr)
def test_an_unreadable_ts_is_named(api: httpx.Client, value: object) -> None:
    assert_names_field(rejected_errors(post_events(api, activity_event(ts=value))), "ts")


@pytest.mark.parametrize("value", NO_UNIX_SECONDS, ids=repr)
def test_a_timestamp_that_is_no_number_is_named(api: httpx.Client, value: object) -> None:
    assert_names_field(rejected_errors(post_events(api, identified_event(timestamp=value))), "timestamp")


@pytest.mark.parametrize("value", ["1e300", "-1e300", "1e400", "NaN", "Infinity", "99999999999999999999", "1e17"])
def test_a_timestamp_beyond_the_calendar_is_refused(api: httpx.Client, value: str) -> None:
    text = compact(identified_event(timestamp="@")).replace(b'"@"', value.encode())
    response = api.post("/events", content=text)
    assert response.status_code in (400, 422), response.text


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-12-31T23:59:59+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_at_the_ends_of_the_calendar_is_an_ordinary_rejection(api: httpx.Client, text: str) -> None:
    sentence = "must lie between the years 2 and 9997"
    for field, event in (
        ("occurred_at", campaign_event(occurred_at=text)),
        ("ts", activity_event(ts=text)),
        ("timestamp", identified_event(timestamp=-62_135_596_800)),
    ):
        assert rejected_errors(post_events(api, event)) == {field: [sentence]}
    for field in ("from", "to"):
        range_ = {"from": "2026-02-10T00:00:00Z", "to": "2026-02-11T00:00:00Z"} | {field: text}
        for zone in ("UTC", "Pacific/Kiritimati", "Etc/GMT+12"):
            for granularity in ("minute", "hour", "day"):
                question = {"campaign_id": "c", "granularity": granularity, "tz": zone, **range_}
                answer = api.get("/stats", params=question)
                assert answer.status_code == 400
                assert f"{field} {sentence}" in answer.json()["error"]["message"]


@pytest.mark.parametrize("value", [1700000000, 1700000000.25, 0, 0.5, 1.7e9])
def test_a_timestamp_is_unix_seconds_fractions_allowed(api: httpx.Client, value: float) -> None:
    profile = person_of(api, identified_event(timestamp=value))
    (event,) = user(api, profile)["events"]
    assert event["timestamp"] == pytest.approx(value, abs=1e-6)


def test_an_event_without_a_time_is_refused(api: httpx.Client) -> None:
    for event in (campaign_event(occurred_at=...), activity_event(ts=...), identified_event(timestamp=...)):
        assert_names_field(rejected_errors(post_events(api, event)), "timestamp", "ts", "occurred_at", "time")


@pytest.mark.parametrize(
    "extra",
    [
        {"ts": "2026-02-10T21:10:00Z", "user_id": "u"},
        {"timestamp": 1770757800, "identifiers": {"email": "two-times@example.org"}},
    ],
    ids=["ts", "timestamp"],
)
def test_an_event_with_two_time_fields_is_refused(api: httpx.Client, extra: dict[str, Any]) -> None:
    errors = rejected_errors(post_events(api, campaign_event(**extra)))
    assert_names_field(errors, "timestamp", "ts", "occurred_at", "time")


@pytest.mark.parametrize("seconds", [-119.0, -60.0, 0.0, 60.0, 120.0])
def test_an_activity_event_within_120_seconds_of_the_clock_is_accepted(api: httpx.Client, seconds: float) -> None:
    # It must be accepted within a second for -119; for +120 the server's clock can only have moved closer.
    stored(api, activity_event(ts=from_now(seconds)))


@pytest.mark.parametrize("seconds", [-86_400.0, -150.0, -120.1, 122.0, 150.0, 86_400.0])
def test_an_activity_event_more_than_120_seconds_off_is_refused(api: httpx.Client, seconds: float) -> None:
    assert_names_field(rejected_errors(post_events(api, activity_event(ts=from_now(seconds)))), "ts")


@pytest.mark.parametrize("text", ["2015-05-17T10:05:00Z", "1970-01-01T00:00:00Z", "1901-01-01T00:00:00Z"])
def test_a_campaign_event_may_be_of_any_past_time(api: httpx.Client, text: str) -> None:
    stored(api, campaign_event(occurred_at=text))


@pytest.mark.parametrize("seconds", [-121.0, 121.0, 3600.0, float(DAY_SECONDS)])
def test_a_campaign_event_may_be_up_to_a_day_ahead(api: httpx.Client, seconds: float) -> None:
    stored(api, campaign_event(occurred_at=from_now(seconds)))


@pytest.mark.parametrize("seconds", [DAY_SECONDS + 2.0, DAY_SECONDS * 2.0, DAY_SECONDS * 3650.0])
def test_a_campaign_event_more_than_a_day_ahead_is_refused(api: httpx.Client, seconds: float) -> None:
    errors = rejected_errors(post_events(api, campaign_event(occurred_at=from_now(seconds))))
    assert_names_field(errors, "occurred_at")


@pytest.mark.parametrize("seconds", [-DAY_SECONDS * 3650.0, -121.0, 121.0, float(DAY_SECONDS)])
def test_an_identified_event_has_the_clock_rule_of_a_campaign_event(api: httpx.Client, seconds: float) -> None:
    stored(api, identified_event(timestamp=time.time() + seconds))


@pytest.mark.parametrize("seconds", [DAY_SECONDS + 2.0, DAY_SECONDS * 3650.0])
def test_an_identified_event_more_than_a_day_ahead_is_refused(api: httpx.Client, seconds: float) -> None:
    errors = rejected_errors(post_events(api, identified_event(timestamp=time.time() + seconds)))
    assert_names_field(errors, "timestamp")


def test_a_timestamp_in_milliseconds_is_too_far_ahead(api: httpx.Client) -> None:
    errors = rejected_errors(post_events(api, identified_event(timestamp=int(time.time() * 1000))))
    assert_names_field(errors, "timestamp")


def test_a_late_campaign_event_updates_its_own_minute(api: httpx.Client) -> None:
    campaign = fresh("camp")
    for second, kind in (
        ("21:12:30", "click"),
        ("21:10:59", "impression"),
        ("21:12:01", "click"),
        ("21:10:00", "click"),
    ):
        stored(api, campaign_event(campaign_id=campaign, type=kind, occurred_at=f"2026-02-10T{second}Z"))
    assert [(p["ts"], p["impressions"], p["clicks"]) for p in campaign_series(api, campaign)] == [
        ("2026-02-10T21:10:00Z", 1, 1),
        ("2026-02-10T21:12:00Z", 0, 2),
    ]
