"""CONTRACT 4: `GET /stats` by minute."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.contracts.answers import assert_error, campaign_series, stored
from tests.contracts.payloads import Json, campaign_event, fresh, from_now

IMPRESSIONS, CLICKS = ("impression", "ad_impression"), ("click", "ad_click")


def send(api: httpx.Client, campaign: str, *events: tuple[str, str]) -> None:
    """Stores campaign events given as type and time of 2026-02-10 (`21:10:00`)."""
    stored(
        api,
        [
            campaign_event(campaign_id=campaign, type=kind, occurred_at=f"2026-02-10T{moment}Z")
            for kind, moment in events
        ],
    )


def counts(series: list[Json]) -> list[tuple[str, int, int]]:
    return [(point["ts"][11:16], point["impressions"], point["clicks"]) for point in series]


def test_the_answer_has_the_shape_of_the_source(api: httpx.Client) -> None:
    campaign = fresh("camp")
    send(api, campaign, ("click", "21:10:00"), ("impression", "21:12:00"))
    params = {
        "campaign_id": campaign,
        "from": "2026-02-10T21:10:00Z",
        "to": "2026-02-10T21:20:00Z",
        "granularity": "minute",
    }
    answer = api.get("/stats", params=params).json()
    series = answer.pop("series")
    assert {name: answer[name] for name in params} == params
    wanted = [
        {"ts": "2026-02-10T21:10:00Z", "impressions": 0, "clicks": 1},
        {"ts": "2026-02-10T21:12:00Z", "impressions": 1, "clicks": 0},
    ]
    assert [{name: point[name] for name in ("ts", "impressions", "clicks")} for point in series] == wanted
    assert all(type(point[name]) is int for point in series for name in ("impressions", "clicks"))


def test_the_series_is_in_order_whatever_order_the_events_came_in(api: httpx.Client) -> None:
    campaign = fresh("camp")
    for minute in (17, 3, 44, 0, 59, 21):
        send(api, campaign, ("click", f"21:{minute:02d}:30"))
    assert [moment for moment, _, _ in counts(campaign_series(api, campaign))] == [
        "21:00",
        "21:03",
        "21:17",
        "21:21",
        "21:44",
        "21:59",
    ]


@pytest.mark.parametrize("kind", IMPRESSIONS)
def test_impressions_are_counted(api: httpx.Client, kind: str) -> None:
    campaign = fresh("camp")
    send(api, campaign, (kind, "21:10:00"), (kind, "21:10:59"))
    assert counts(campaign_series(api, campaign)) == [("21:10", 2, 0)]


@pytest.mark.parametrize("kind", CLICKS)
def test_clicks_are_counted(api: httpx.Client, kind: str) -> None:
    campaign = fresh("camp")
    send(api, campaign, (kind, "21:10:00"), (kind, "21:10:59"))
    assert counts(campaign_series(api, campaign)) == [("21:10", 0, 2)]


def test_other_types_are_neither(api: httpx.Client) -> None:
    campaign = fresh("camp")
    others = ("view", "purchase", "page_view", "form_submit", "session_start", "session_end")
    send(api, campaign, ("click", "21:10:00"), *((kind, "21:10:30") for kind in others))
    assert counts(campaign_series(api, campaign)) == [("21:10", 0, 1)]


def test_a_minute_goes_from_its_first_to_its_last_instant(api: httpx.Client) -> None:
    campaign = fresh("camp")
    send(
        api,
        campaign,
        ("click", "21:09:59.999999"),
        ("click", "21:10:00"),
        ("click", "21:10:59.999999"),
        ("click", "21:11:00"),
    )
    assert counts(campaign_series(api, campaign)) == [("21:09", 0, 1), ("21:10", 0, 2), ("21:11", 0, 1)]


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        ("21:10:00", "21:13:00", ["21:10", "21:11", "21:12", "21:13"]),
        ("21:10:59", "21:12:00", ["21:10", "21:11", "21:12"]),
        ("21:10:30", "21:12:59", ["21:10", "21:11", "21:12"]),
        ("21:11:00", "21:11:00", ["21:11"]),
        ("21:11:20", "21:11:40", ["21:11"]),
        ("21:10:00", "21:10:00.001", ["21:10"]),
        ("21:14:00", "21:20:00", []),
        ("21:00:00", "21:09:59.999", []),
    ],
)
def test_the_range_goes_from_the_floored_minute_to_the_last_one_included(
    api: httpx.Client, start: str, end: str, minutes: list[str]
) -> None:
    campaign = fresh("camp")
    send(api, campaign, *(("click", f"21:{minute}:05") for minute in (10, 11, 12, 13)))
    series = campaign_series(api, campaign, f"2026-02-10T{start}Z", f"2026-02-10T{end}Z")
    assert [moment for moment, _, _ in counts(series)] == minutes


def test_the_range_may_have_an_offset(api: httpx.Client) -> None:
    campaign = fresh("camp")
    send(api, campaign, ("click", "21:10:00"))
    series = campaign_series(api, campaign, "2026-02-10T22:10:00+01:00", "2026-02-10T22:10:00+01:00")
    assert [point["ts"] for point in series] == ["2026-02-10T21:10:00Z"]


def test_minutes_without_events_are_left_out(api: httpx.Client) -> None:
    campaign = fresh("camp")
    send(api, campaign, ("click", "21:10:00"), ("impression", "21:15:00"))
    assert counts(campaign_series(api, campaign)) == [("21:10", 0, 1), ("21:15", 1, 0)]


def test_minutes_without_events_are_zero_on_request(api: httpx.Client) -> None:
    campaign = fresh("camp")
    send(api, campaign, ("click", "21:12:00"), ("impression", "21:13:00"))
    series = campaign_series(api, campaign, "2026-02-10T21:10:30Z", "2026-02-10T21:15:20Z", fill="zero")
    assert counts(series) == [
        ("21:10", 0, 0),
        ("21:11", 0, 0),
        ("21:12", 0, 1),
        ("21:13", 1, 0),
        ("21:14", 0, 0),
        ("21:15", 0, 0),
    ]


def test_an_unknown_campaign_has_an_empty_series(api: httpx.Client) -> None:
    assert campaign_series(api, fresh("nobody")) == []


def test_an_unknown_campaign_filled_with_zeros_is_all_zero(api: httpx.Client) -> None:
    series = campaign_series(api, fresh("nobody"), "2026-02-10T21:10:00Z", "2026-02-10T21:12:00Z", fill="zero")
    assert counts(series) == [("21:10", 0, 0), ("21:11", 0, 0), ("21:12", 0, 0)]


def test_campaigns_are_kept_apart(api: httpx.Client) -> None:
    name = fresh("Camp")
    for campaign in (name, name.lower(), name + " ", name + "/x?y=1&z", name + "é"):
        response = api.post("/events", json=campaign_event(campaign_id=campaign))
        assert response.status_code == 202
    assert [point["clicks"] for point in campaign_series(api, name.lower())] == [1]
    assert [point["clicks"] for point in campaign_series(api, name + "/x?y=1&z")] == [1]
    assert [point["clicks"] for point in campaign_series(api, name + "é")] == [1]


def test_events_of_the_future_are_counted_in_their_minute(api: httpx.Client) -> None:
    campaign = fresh("camp")
    stored(api, [campaign_event(campaign_id=campaign, occurred_at=from_now(seconds)) for seconds in (3600, 80_000)])
    series = campaign_series(api, campaign, from_now(0), from_now(86_400))
    assert [point["clicks"] for point in series] == [1, 1]


def test_366_days_by_minute_are_answered(api: httpx.Client) -> None:
    campaign = fresh("camp")
    send(api, campaign, ("click", "21:12:00"))
    end = datetime(2026, 2, 11, tzinfo=UTC)
    start = end - timedelta(days=366)
    series = campaign_series(api, campaign, start.isoformat(), end.isoformat())
    assert counts(series) == [("21:12", 0, 1)]


GOOD = {
    "campaign_id": "c",
    "from": "2026-02-10T21:00:00Z",
    "to": "2026-02-10T21:10:00Z",
    "granularity": "minute",
}


@pytest.mark.parametrize("missing", ["campaign_id", "from", "to"])
def test_a_missing_parameter_is_refused(api: httpx.Client, missing: str) -> None:
    params = {name: value for name, value in GOOD.items() if name != missing}
    assert_error(api.get("/stats", params=params), 400, "INVALID_ARGUMENT")
    assert_error(api.get("/stats", params={**params, missing: ""}), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from", "yesterday"),
        ("from", "2026-02-10"),
        ("from", "2026-02-10T21:00:00"),
        ("from", "1770757200"),
        ("from", "2026-02-30T21:00:00Z"),
        ("to", "tomorrow"),
        ("to", "2026-02-10T21:10:00"),
        ("to", "2026-02-10T25:10:00Z"),
        ("granularity", "second"),
        ("granularity", "MINUTE"),
        ("granularity", "week"),
        ("tz", "Europe/Atlantis"),
        ("tz", "+01:00:00:00"),
        ("tz", "../../etc/passwd"),
        ("fill", "one"),
        ("group_by", "user_id"),
        ("group_by", "creative_id,source"),
        ("campaign_id", "x" * 256),
    ],
)
def test_a_bad_parameter_is_refused(api: httpx.Client, name: str, value: str) -> None:
    assert_error(api.get("/stats", params={**GOOD, name: value}), 400, "INVALID_ARGUMENT")


def test_from_after_to_is_refused(api: httpx.Client) -> None:
    params = {**GOOD, "from": "2026-02-10T21:10:00.001Z"}
    assert_error(api.get("/stats", params=params), 400, "INVALID_ARGUMENT")
    assert_error(api.get("/stats", params={**GOOD, "from": "2027-02-10T21:10:00Z"}), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("granularity", ["minute", "hour", "day"])
def test_a_range_over_366_days_is_refused(api: httpx.Client, granularity: str) -> None:
    end = datetime(2026, 2, 10, 21, 0, tzinfo=UTC)
    params = {"campaign_id": "c", "to": end.isoformat(), "granularity": granularity}
    exactly = (end - timedelta(days=366)).isoformat()
    assert api.get("/stats", params={**params, "from": exactly}).status_code == 200
    over = (end - timedelta(days=366, minutes=1)).isoformat()
    assert_error(api.get("/stats", params={**params, "from": over}), 400, "INVALID_ARGUMENT")
    assert_error(api.get("/stats", params={**params, "from": "0001-01-01T00:00:00Z"}), 400, "INVALID_ARGUMENT")


def test_pages_in_csv_are_followed_by_their_links(api: httpx.Client) -> None:
    campaign = fresh("camp")
    minutes = [f"2026-02-10T21:1{minute}:00Z" for minute in range(5)]
    stored(api, [campaign_event(campaign_id=campaign, occurred_at=minute) for minute in minutes])
    question = {"campaign_id": campaign, "from": minutes[0], "to": minutes[-1], "page_size": "2"}
    answer = api.get("/stats", params=question, headers={"accept": "text/csv"})
    found = [answer]
    while link := re.fullmatch(r'<([^>]*)>; rel="next"', answer.headers.get("link", "")):
        answer = api.get(link[1], headers={"accept": "text/csv"})
        found.append(answer)
    assert [page.text.splitlines()[0] for page in found] == ["ts,impressions,clicks,events"] * 3
    assert [line.partition(",")[0] for page in found for line in page.text.splitlines()[1:]] == minutes
