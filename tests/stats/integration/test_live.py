"""The live feed: one view a second to everybody who watches."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import grpc
import msgspec
import pytest
from redis.asyncio import Redis

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_chassis.domain_events import DomainEvent, RedisStreamPublisher
from tests.stats.service import THROUGH_GATEWAY, Event, StatsCluster, batch_of


async def test_a_view_shows_rates_verdicts_and_the_busiest_campaigns(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    now = time.time()
    await replica.apply(
        batch_of(
            [Event(event_id=f"a{n}", at=now - 2, campaign="a", user=f"u{n % 3}") for n in range(20)]
            + [Event(event_id=f"b{n}", at=now - 2, campaign="b", type="click", user="u9") for n in range(10)]
            + [Event(event_id="old", at=now - 400, campaign="c", user="u8")]
        )
    )
    async with Redis.from_url(cluster.redis_url) as redis:
        twice = DomainEvent(kind="EventsAccepted", payload={"count": 30})
        await RedisStreamPublisher(redis).publish(
            [
                twice,
                twice,
                DomainEvent(kind="DuplicatesIgnored", payload={"count": 4}),
                DomainEvent(kind="EventsRejected", payload={"count": 1}),  # of an ingest that names no kinds
                DomainEvent(
                    kind="EventsRejected",
                    payload={
                        "count": 1,
                        "kinds": [{"form": "campaign", "field": "type", "reason": "unknown_value", "count": 1}],
                    },
                ),
                DomainEvent(kind="ProfileCreated", payload={"count": 99}),
            ]
        )
    views = [view async for view in replica.stub.WatchLive(pb.WatchLiveRequest(seconds=2, top=1))]
    assert len(views) == 2
    for view in views:
        assert view.events_per_sec.last_minute == 0.5
        assert view.events_per_sec.last_10_seconds == 3.0
        assert view.users == 4
        assert (view.verdicts.accepted, view.verdicts.duplicates, view.verdicts.rejected) == (30, 4, 2)
        assert [(r.form, r.field, r.reason, r.events) for r in view.last_rejections] == [
            ("campaign", "type", pb.REJECTION_REASON_UNKNOWN_VALUE, 1)
        ]
        assert [(c.campaign_id, c.events, c.impressions) for c in view.top_campaigns] == [("a", 20, 20)]


async def test_a_replica_that_starts_later_shows_what_was_rejected_before(cluster: StatsCluster) -> None:
    kinds = [{"form": "activity", "field": "ts", "reason": "far_from_now", "count": 7}]
    before = DomainEvent(
        kind="EventsRejected", payload={"count": 7, "kinds": kinds}, occurred_at=datetime(2026, 2, 10, tzinfo=UTC)
    )
    async with Redis.from_url(cluster.redis_url) as redis:
        await RedisStreamPublisher(redis).publish([before])
    replica = await cluster.start()
    (view,) = [view async for view in replica.stub.WatchLive(pb.WatchLiveRequest(seconds=1))]
    assert [(r.ts.ToDatetime(UTC), r.field, r.events) for r in view.last_rejections] == [(before.occurred_at, "ts", 7)]
    assert view.verdicts.rejected == 0  # that was more than a minute ago


async def test_through_the_gateway_a_view_is_a_server_sent_event(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    call = replica.stub.WatchLive(pb.WatchLiveRequest(seconds=1), metadata=THROUGH_GATEWAY)
    (view,) = [view async for view in call]
    assert view.rendered.content_type == "text/event-stream"
    assert view.rendered.data.startswith(b"data: {")
    assert view.rendered.data.endswith(b"}\n\n")
    answer = msgspec.json.decode(view.rendered.data[6:])
    assert list(answer) == [
        "ts",
        "events_per_sec",
        "users",
        "generation",
        "verdicts",
        "top_campaigns",
        "last_rejections",
    ]


async def test_watchers_come_and_go(cluster: StatsCluster) -> None:
    replica = await cluster.start()

    async def watch(seconds: int) -> int:
        return len([view async for view in replica.stub.WatchLive(pb.WatchLiveRequest(seconds=seconds))])

    endless = replica.stub.WatchLive(pb.WatchLiveRequest())
    await endless.read()
    assert [*await asyncio.gather(watch(1), watch(2), watch(1))] == [1, 2, 1]
    endless.cancel()
    assert await watch(1) == 1


async def test_a_bad_question_is_refused(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.stub.WatchLive(pb.WatchLiveRequest(top=101, seconds=-1)).read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "top" in str(raised.value.details())
    assert "seconds" in str(raised.value.details())
