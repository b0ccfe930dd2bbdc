"""CONTRACT 4: `GET /stats` by hour and day in a time zone, and by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.contracts.answers import campaign_series, stored
from tests.contracts.payloads import Json, campaign_event, fresh, iso


def moments(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


def clicks_at(api: httpx.Client, times: Iterable[datetime], **fields: str) -> str:
    """Stores one click at each time; the campaign."""
    campaign = fresh("camp")
    stored(api, [campaign_event(campaign_id=campaign, occurred_at=iso(time), **fields) for time in times])
    return campaign


def buckets(series: list[Json]) -> list[tuple[datetime, int]]:
    return [(datetime.fromisoformat(point["ts"]), point["clicks"]) for point in series]


def expected(times: Iterable[datetime], zone: str, granularity: str) -> list[tuple[datetime, int]]:
    """A plain recount: clicks by the start of the local hour or day, as an instant."""
    counts: dict[datetime, int] = defaultdict(int)
    for time in times:
        local = time.astimezone(ZoneInfo(zone))
        if granularity == "day":
            start = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        else:
            start = (time - timedelta(minutes=local.minute, seconds=local.second)).astimezone(UTC)
        counts[start] += 1
    return sorted(counts.items())


def every(minutes: int, start: str, end: str) -> list[datetime]:
    """Times `minutes` apart, from `start` up to and without `end`."""
    first, last = moments(start, end)
    return [first + timedelta(minutes=minutes * n) for n in range(int((last - first) / timedelta(minutes=minutes)))]


SPANS = {
    "plain days": ("UTC", "2026-01-05T00:00:00+00:00", "2026-01-08T00:00:00+00:00"),
    "summer time begins": ("Europe/Berlin", "2026-03-27T12:00:00+00:00", "2026-03-31T12:00:00+00:00"),
    "summer time ends": ("Europe/Berlin", "2025-10-24T12:00:00+00:00", "2025-10-28T12:00:00+00:00"),
    "half an hour off": ("Asia/Kolkata", "2026-01-05T00:00:00+00:00", "2026-01-07T00:00:00+00:00"),
    "three quarters off": ("Asia/Kathmandu", "2026-01-05T00:00:00+00:00", "2026-01-07T00:00:00+00:00"),
    "far west": ("America/Los_Angeles", "2026-03-07T00:00:00+00:00", "2026-03-10T00:00:00+00:00"),
    "half-hour summer time": ("Australia/Lord_Howe", "2026-04-03T00:00:00+00:00", "2026-04-07T00:00:00+00:00"),
}


@pytest.mark.parametrize("granularity", ["hour", "day"])
@pytest.mark.parametrize("span", SPANS)
def test_hours_and_days_are_those_of_the_time_zone(api: httpx.Client, span: str, granularity: str) -> None:
    zone, start, end = SPANS[span]
    if span == "half-hour summer time" and granularity == "hour":
        return_to_day = every(60, start, end)  # the shifted half hour has no agreed bucket: only the total is checked
        campaign = clicks_at(api, return_to_day)
        series = campaign_series(api, campaign, start, end, granularity="hour", tz=zone)
        assert sum(count for _, count in buckets(series)) == len(return_to_day)
        return
    times = every(20, start, end)
    campaign = clicks_at(api, times)
    series = campaign_series(api, campaign, start, end, granularity=granularity, tz=zone)
    assert buckets(series) == expected(times, zone, granularity)


def test_the_zone_is_utc_unless_asked_otherwise(api: httpx.Client) -> None:
    times = moments("2026-02-10T23:59:59+00:00", "2026-02-11T00:00:00+00:00")
    campaign = clicks_at(api, times)
    series = campaign_series(api, campaign, "2026-02-10T00:00:00Z", "2026-02-11T23:00:00Z", granularity="day")
    assert [(point["ts"], point["clicks"]) for point in series] == [
        ("2026-02-10T00:00:00Z", 1),
        ("2026-02-11T00:00:00Z", 1),
    ]
    series = campaign_series(api, campaign, "2026-02-10T00:00:00Z", "2026-02-11T23:00:00Z", granularity="hour")
    assert [(point["ts"], point["clicks"]) for point in series] == [
        ("2026-02-10T23:00:00Z", 1),
        ("2026-02-11T00:00:00Z", 1),
    ]


@pytest.mark.parametrize(("granularity", "wanted"), [("hour", [2, 2, 2]), ("day", [6])])
def test_the_first_bucket_is_floored_and_the_last_is_whole(
    api: httpx.Client, granularity: str, wanted: list[int]
) -> None:
    campaign = clicks_at(api, every(30, "2026-02-10T10:00:00+00:00", "2026-02-10T13:00:00+00:00"))
    series = campaign_series(api, campaign, "2026-02-10T10:45:00Z", "2026-02-10T12:00:00Z", granularity=granularity)
    assert [point["clicks"] for point in series] == wanted


@pytest.mark.parametrize(("granularity", "count"), [("hour", 95), ("day", 4)])
def test_zeros_fill_every_hour_and_day_across_the_change_to_summer_time(
    api: httpx.Client, granularity: str, count: int
) -> None:
    series = campaign_series(
        api,
        fresh("nobody"),
        "2026-03-27T00:00:00+01:00",
        "2026-03-30T23:59:00+02:00",
        granularity=granularity,
        tz="Europe/Berlin",
        fill="zero",
    )
    starts = [start for start, _ in buckets(series)]
    assert len(starts) == count
    assert starts == sorted(set(starts))
    assert starts[0] == datetime.fromisoformat("2026-03-27T00:00:00+01:00")


def test_hours_and_days_add_up_to_their_minutes(api: httpx.Client) -> None:
    times = every(7, "2026-02-09T05:00:00+00:00", "2026-02-11T05:00:00+00:00")
    campaign = clicks_at(api, times)
    span = ("2026-02-09T00:00:00Z", "2026-02-11T23:59:00Z")
    for granularity in ("minute", "hour", "day"):
        series = campaign_series(api, campaign, *span, granularity=granularity)
        assert sum(count for _, count in buckets(series)) == len(times)


FIELD_VALUES = {"creative_id": ("cr_a", "cr_b"), "source": ("app", "web"), "type": ("ad_click", "click")}


@pytest.mark.parametrize("granularity", ["minute", "hour", "day"])
@pytest.mark.parametrize("field", FIELD_VALUES)
def test_counts_are_split_by_group(api: httpx.Client, field: str, granularity: str) -> None:
    campaign = fresh("camp")
    left, right = FIELD_VALUES[field]
    stored(
        api,
        [
            campaign_event(campaign_id=campaign, occurred_at=f"2026-02-10T21:10:{second:02d}Z", **{field: value})
            for second, value in enumerate([left, right, right, left, right])
        ],
    )
    series = campaign_series(api, campaign, granularity=granularity, group_by=field)
    assert [(point["group"], point["clicks"]) for point in series] == [(left, 2), (right, 3)]
    assert len({point["ts"] for point in series}) == 1
    assert [point["clicks"] for point in campaign_series(api, campaign, granularity=granularity)] == [5]


def test_groups_are_in_order_of_time_first(api: httpx.Client) -> None:
    campaign = fresh("camp")
    for minute in (12, 11):
        for source in ("b", "a"):
            stored(
                api,
                campaign_event(campaign_id=campaign, source=source, occurred_at=f"2026-02-10T21:{minute}:00Z"),
            )
    series = campaign_series(api, campaign, group_by="source")
    assert [(point["ts"][11:16], point["group"]) for point in series] == [
        ("21:11", "a"),
        ("21:11", "b"),
        ("21:12", "a"),
        ("21:12", "b"),
    ]


def test_events_without_a_creative_are_a_group_too(api: httpx.Client) -> None:
    campaign = fresh("camp")
    stored(api, [campaign_event(campaign_id=campaign), campaign_event(campaign_id=campaign, creative_id="cr")])
    series = campaign_series(api, campaign, group_by="creative_id")
    assert [(point["group"], point["clicks"]) for point in series] == [("", 1), ("cr", 1)]
