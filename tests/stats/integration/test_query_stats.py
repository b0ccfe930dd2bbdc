"""`/stats` from stored rows, from deltas, and from both."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from dmp.stats.v1 import stats_service_pb2 as pb
from tests.stats.service import Event, Replica, StatsCluster, batch_of

HOUR = 3_600
T = 1_774_738_800  # 2026-03-28T23:00:00Z: midnight in Berlin, on whose day the clock loses an hour


@pytest.fixture(params=["folded", "pending"])
async def replica(request: pytest.FixtureRequest, cluster: StatsCluster) -> Replica:
    """A replica on rollups that hold one event for each half hour of two days, folded or not."""
    running = await cluster.start(fold_interval_seconds=0.05 if request.param == "folded" else 60.0)
    events = [
        Event(
            event_id=f"e{number}",
            at=T + number * HOUR / 2 + 59.999_999,
            campaign="camp",
            type=("impression", "click", "view", "ad_click")[number % 4],
            source=("web", "app")[number // 4 % 2],
            creative=("", "cr1", "cr2")[number % 3],
        )
        for number in range(96)
    ]
    for start in range(0, 96, 10):
        await running.apply(batch_of(events[start : start + 10]))
    if request.param == "folded":
        await cluster.all_folded()
    return running


async def test_days_of_a_zone_are_its_own(replica: Replica) -> None:
    answer = await replica.stats(
        "camp", "2026-03-29T10:00:00+02:00", "2026-03-30T00:00:00+02:00", granularity="day", tz="Europe/Berlin"
    )
    assert [(point["ts"], point["events"]) for point in answer["series"]] == [
        ("2026-03-28T23:00:00Z", 46),
        ("2026-03-29T22:00:00Z", 48),
    ]
    assert (answer["from"], answer["to"]) == ("2026-03-29T08:00:00Z", "2026-03-29T22:00:00Z")


async def test_days_of_utc(replica: Replica) -> None:
    answer = await replica.stats("camp", "2026-03-28T00:00:00Z", "2026-03-30T23:59:59Z", granularity="day")
    assert [(point["ts"], point["events"]) for point in answer["series"]] == [
        ("2026-03-28T00:00:00Z", 2),
        ("2026-03-29T00:00:00Z", 48),
        ("2026-03-30T00:00:00Z", 46),
    ]


@pytest.mark.parametrize("tz", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"])
@pytest.mark.parametrize("granularity", ["hour", "day"])
async def test_zones_with_odd_offsets_lose_nothing(replica: Replica, tz: str, granularity: str) -> None:
    answer = await replica.stats("camp", "2026-03-28T23:00:00Z", "2026-03-31T00:00:00Z", granularity=granularity, tz=tz)
    assert sum(point["events"] for point in answer["series"]) == 96


async def test_hours_of_a_zone_with_half_an_hour(replica: Replica) -> None:
    answer = await replica.stats(
        "camp", "2026-03-28T23:00:00Z", "2026-03-28T23:40:00Z", granularity="hour", tz="Asia/Kolkata"
    )
    assert [(point["ts"], point["events"]) for point in answer["series"]] == [
        ("2026-03-28T22:30:00Z", 1),
        ("2026-03-28T23:30:00Z", 2),
    ]


async def test_both_ends_are_included(replica: Replica) -> None:
    answer = await replica.stats("camp", "2026-03-28T23:00:59Z", "2026-03-28T23:30:00Z")
    assert [point["ts"] for point in answer["series"]] == ["2026-03-28T23:00:00Z", "2026-03-28T23:30:00Z"]
    answer = await replica.stats("camp", "2026-03-28T23:01:00Z", "2026-03-28T23:29:59Z")
    assert answer["series"] == []


async def test_empty_buckets_are_left_out_unless_zero_is_asked_for(replica: Replica) -> None:
    span = ("2026-03-28T23:00:00Z", "2026-03-28T23:31:00Z")
    assert len((await replica.stats("camp", *span))["series"]) == 2
    filled = (await replica.stats("camp", *span, fill="zero"))["series"]
    assert len(filled) == 32
    assert filled[1] == {"ts": "2026-03-28T23:01:00Z", "impressions": 0, "clicks": 0, "events": 0}
    assert len((await replica.stats("nobody", *span, fill="zero"))["series"]) == 32


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [
        ("type", {"ad_click": (0, 24), "click": (0, 24), "impression": (24, 0), "view": (0, 0)}),
        ("source", {"app": (12, 24), "web": (12, 24)}),
        ("creative_id", {"": (8, 16), "cr1": (8, 16), "cr2": (8, 16)}),
    ],
)
async def test_groups(replica: Replica, group_by: str, expected: dict[str, tuple[int, int]]) -> None:
    answer = await replica.stats(
        "camp", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z", granularity="day", group_by=group_by
    )
    series: list[dict[str, Any]] = answer["series"]
    assert [(point["ts"], point["group"]) for point in series] == sorted((p["ts"], p["group"]) for p in series)
    found = {
        group: tuple(sum(p[key] for p in series if p["group"] == group) for key in ("impressions", "clicks"))
        for group in expected
    }
    assert found == expected


@pytest.mark.parametrize(
    ("filters", "events"),
    [
        ({"type": ["click"]}, 24),
        ({"type": ["click", "view"]}, 48),
        ({"source": ["web"]}, 48),
        ({"creative_id": ["cr1"]}, 32),
        ({"creative_id": [""]}, 32),
        ({"type": ["click"], "source": ["web"], "creative_id": ["cr1"]}, 4),
        ({"source": ["nowhere"]}, 0),
    ],
)
async def test_filters(replica: Replica, filters: dict[str, list[str]], events: int) -> None:
    for granularity in ("hour", "day"):
        answer = await replica.stats(
            "camp", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z", granularity=granularity, **filters
        )
        assert sum(point["events"] for point in answer["series"]) == events


async def test_pages_make_up_the_whole(replica: Replica) -> None:
    span = ("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z")
    whole = (await replica.stats("camp", *span, granularity="hour"))["series"]
    found: list[Any] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = await replica.stats("camp", *span, granularity="hour", page_size=7, page_token=token)
        found += page["series"]
        token, pages = page["next_page_token"], pages + 1
    assert found == whole
    assert pages == 11


async def test_csv_for_those_who_prefer_it(replica: Replica) -> None:
    request = pb.RenderStatsRequest(campaign_id="camp", to="2026-03-28T23:31:00Z", group_by="source")
    setattr(request, "from", "2026-03-28T23:00:00Z")
    body = await replica.rendered_stats(request, accept="text/csv")
    assert body.content_type.startswith("text/csv")
    assert body.data.decode().splitlines() == [
        "ts,group,impressions,clicks,events",
        "2026-03-28T23:00:00Z,web,1,0,1",
        "2026-03-28T23:30:00Z,web,0,1,1",
    ]


async def test_a_caller_of_the_stub_gets_typed_fields(replica: Replica) -> None:
    request = pb.QueryStatsRequest(campaign_id="camp", to="2026-03-28T23:31:00Z")
    setattr(request, "from", "2026-03-28T23:00:00Z")
    response = await replica.stub.QueryStats(request)
    assert [(p.ts.seconds, p.impressions, p.clicks, p.events) for p in response.series] == [
        (T, 1, 0, 1),
        (T + 1_800, 0, 1, 1),
    ]


async def test_a_bad_question_names_every_parameter(replica: Replica) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.stats("", "yesterday", "2026-03-28", granularity="week", tz="Mars")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("campaign_id", "from", "to", "granularity", "tz"):
        assert field in str(raised.value.details())


async def test_hours_and_days_equal_their_minutes_while_folding_goes_on(cluster: StatsCluster) -> None:
    writer, reader = await cluster.start(fold_interval_seconds=0.05), await cluster.start(fold_interval_seconds=0.05)
    span = ("2026-03-29T00:00:00Z", "2026-03-29T23:59:59Z")
    for number in range(60):
        batch = [Event(event_id=f"{number}-{n}", at=T + HOUR + n * 977 % 86_400, campaign="c") for n in range(9)]
        await writer.apply(batch_of(batch))
        for granularity in ("minute", "hour", "day"):
            answer = await reader.stats("c", *span, granularity=granularity)
            assert sum(point["impressions"] for point in answer["series"]) == (number + 1) * 9
