"""A batch is counted once, whoever applies it and however often."""

from __future__ import annotations

import asyncio
import random

import grpc
import psycopg
import pytest

from dmp_chassis.database import Database
from dmp_stats.adapters import delta_store
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.fold_deltas import fold_deltas
from tests.stats.service import Event, StatsCluster, batch_of

T = 1_770_757_800  # 2026-02-10T21:10:00Z
RANGE = ("2026-02-10T21:10:00Z", "2026-02-10T21:20:00Z")


def some_events(count: int, prefix: str, seed: int = 1) -> list[Event]:
    rnd = random.Random(seed)
    return [
        Event(
            event_id=f"{prefix}{number}",
            at=T + rnd.randrange(600),
            campaign="camp_123",
            type=rnd.choice(["impression", "click", "view"]),
            user=f"u{rnd.randrange(50)}",
        )
        for number in range(count)
    ]


async def total(cluster_stats: dict[str, list[dict[str, int]]]) -> int:
    return sum(point["events"] for point in cluster_stats["series"])


async def test_the_example_of_the_contract(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    events = [
        Event(event_id=f"{minute}-{kind}-{number}", at=T + minute * 60 + number % 60, type=kind, campaign="camp_123")
        for minute, impressions, clicks in ((0, 1200, 32), (1, 1188, 29))
        for kind, count in (("impression", impressions), ("click", clicks))
        for number in range(count)
    ]
    await replica.apply(batch_of(events))
    answer = await replica.stats("camp_123", *RANGE, granularity="minute")
    assert list(answer)[:5] == ["campaign_id", "from", "to", "granularity", "series"]
    assert [answer[key] for key in ("campaign_id", "from", "to", "granularity")] == ["camp_123", *RANGE, "minute"]
    assert [{key: point[key] for key in ("ts", "impressions", "clicks")} for point in answer["series"]] == [
        {"ts": "2026-02-10T21:10:00Z", "impressions": 1200, "clicks": 32},
        {"ts": "2026-02-10T21:11:00Z", "impressions": 1188, "clicks": 29},
    ]


async def test_a_batch_that_comes_again_changes_nothing(cluster: StatsCluster) -> None:
    cluster.clock.now = T + 600
    one, two = await cluster.start(), await cluster.start()
    batch = batch_of(some_events(100, "a"))
    assert await one.apply(batch)
    before = await one.stats("camp_123", *RANGE), await one.metrics(1800)
    assert not await one.apply(batch)
    assert not await two.apply(batch)
    assert (await two.stats("camp_123", *RANGE), await two.metrics(1800)) == before
    assert before[1]["events"] == 100


async def test_the_same_batch_in_parallel_counts_once(cluster: StatsCluster) -> None:
    replicas = [await cluster.start(), await cluster.start()]
    cluster.clock.now = T + 600
    batch = batch_of(some_events(200, "a"))
    verdicts = await asyncio.gather(*(replica.apply(batch) for replica in replicas * 8))
    assert sorted(verdicts) == [False] * 15 + [True]
    for replica in replicas:
        assert await total(await replica.stats("camp_123", *RANGE)) == 200


async def test_different_batches_in_parallel_all_count(cluster: StatsCluster) -> None:
    cluster.clock.now = T + 600
    replicas = [await cluster.start(pool_size=20), await cluster.start(pool_size=20)]
    batches = [batch_of(some_events(50, f"b{number}-", seed=number)) for number in range(40)]
    verdicts = await asyncio.gather(*(replicas[n % 2].apply(batch) for n, batch in enumerate(batches)))
    assert all(verdicts)
    for replica in replicas:
        assert await total(await replica.stats("camp_123", *RANGE)) == 2_000
        assert (await replica.metrics(1800))["events"] == 2_000


async def test_an_acknowledged_batch_is_in_every_replicas_next_answer(cluster: StatsCluster) -> None:
    cluster.clock.now = T + 600
    one, two = await cluster.start(), await cluster.start()
    for number in range(20):
        await one.apply(batch_of([Event(event_id=f"{number}", at=T + 599, campaign="c", user="u")]))
        assert (await two.metrics())["events"] == number + 1
        assert await total(await two.stats("c", *RANGE)) == number + 1


async def test_a_replica_that_starts_later_knows_everything(cluster: StatsCluster) -> None:
    cluster.clock.now = T + 600
    one = await cluster.start()
    await one.apply(batch_of(some_events(300, "a")))
    await one.put_reference({"u1": {"plan": "pro"}}, "2026-01-01T00:00:00Z")
    expected = await one.metrics(1800), await one.stats("camp_123", *RANGE)
    two = await cluster.start()
    assert (await two.metrics(1800), await two.stats("camp_123", *RANGE)) == expected
    assert expected[0]["generation"] == 1


async def test_events_without_a_campaign_or_a_user_count_where_they_can(cluster: StatsCluster) -> None:
    cluster.clock.now = T
    replica = await cluster.start()
    assert await replica.apply(batch_of([]))
    assert await replica.apply(batch_of([Event(event_id="a", at=T, user="u")]))
    assert await replica.apply(batch_of([Event(event_id="b", at=T, campaign="c")]))
    assert await replica.apply(batch_of([Event(event_id="c", at=T)]))
    assert (await replica.metrics())["events"] == 1
    assert await total(await replica.stats("c", *RANGE)) == 1


async def test_a_batch_that_contradicts_itself_is_refused_whole(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    bad = batch_of([Event(event_id="a", at=T, campaign="c")])
    bad.types.append(1)
    bad.event_keys = b"short"
    bad.batch_id = "no uuid"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.apply(bad)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("batch.types", "batch.event_keys", "batch.batch_id"):
        assert field in str(raised.value.details())


@pytest.mark.parametrize("text", ["x" * 256, "a\0b"])
async def test_a_text_that_could_never_be_stored_is_refused(cluster: StatsCluster, text: str) -> None:
    replica = await cluster.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.apply(batch_of([Event(event_id="a", at=T, campaign="c", source=text)]))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await total(await replica.stats("c", *RANGE)) == 0


async def test_the_longest_texts_can_be_folded(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    wide = "\U0001f600" * 255
    await replica.apply(
        batch_of([Event(event_id="a", at=T, campaign=wide, source=wide, creative=wide, type="impression")])
    )
    await cluster.all_folded()
    answer = await replica.stats(wide, *RANGE, group_by="creative_id")
    assert [point["group"] for point in answer["series"]] == [wide]


async def test_what_was_folded_is_not_remembered(cluster: StatsCluster) -> None:
    replica = await cluster.start(fold_interval_seconds=60.0)
    await replica.apply(batch_of(some_events(20, "a")))
    database = Database.connect(cluster.database_url, pool_size=2, application_name="test")
    one, two = DeltaCache(), DeltaCache()
    async with database.read() as connection:
        for cache in (one, two):
            assert len((await delta_store.pending(connection, cache)).deltas) == len(cache) == 1
    assert await fold_deltas(database, one) == 1
    assert len(one) == 0
    assert await fold_deltas(database, two) == 0
    assert len(two) == 0
    await database.close()


async def test_a_restarted_database_costs_no_batch(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    await asyncio.gather(*(replica.apply(batch_of(some_events(5, f"a{number}-"))) for number in range(4)))
    async with await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dmp-stats batches'"
        )
    assert await replica.apply(batch_of(some_events(5, "b")))
    assert await total(await replica.stats("camp_123", *RANGE)) == 25
