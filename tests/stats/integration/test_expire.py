"""What is older than it is kept goes, and only that."""

from __future__ import annotations

import psycopg
import pytest

from dmp_chassis.database import Database
from dmp_stats.expire import expire
from tests.stats.service import Event, StatsCluster, batch_of

T = 1_770_757_800  # 2026-02-10T21:10:00Z
DAY = 86_400


async def test_old_rows_go_and_hours_and_days_outlive_minutes(cluster: StatsCluster) -> None:
    cluster.clock.now = T
    replica = await cluster.start(fold_interval_seconds=0.05)
    await replica.apply(batch_of([Event(event_id=f"{day}", at=T - day * DAY, campaign="c") for day in range(50)]))
    await cluster.all_folded()
    database = Database.connect(cluster.database_url, pool_size=1, application_name="test")
    await expire(database, now=T, window_seconds=1800, retention_days={1: 10, 60: 20, 1440: 0})
    await database.close()
    span = ("2025-12-01T00:00:00Z", "2026-02-11T00:00:00Z")
    for granularity, days in (("minute", 11), ("hour", 21), ("day", 50)):
        for source in ([], ["web"]):
            series = (await replica.stats("c", *span, granularity=granularity, source=source))["series"]
            assert len(series) == days


@pytest.mark.parametrize("ahead_days", [4, 30, 366, 3_660])
async def test_a_clock_that_is_ahead_removes_no_counts(cluster: StatsCluster, ahead_days: int) -> None:
    cluster.clock.now = T
    replica = await cluster.start(fold_interval_seconds=0.05)
    await replica.apply(batch_of([Event(event_id=f"{day}", at=T - day * DAY, campaign="c") for day in range(12)]))
    await cluster.all_folded()
    database = Database.connect(cluster.database_url, pool_size=1, application_name="test")
    kept = {1: 10, 60: 10, 1440: 10}
    await expire(database, now=T + ahead_days * DAY, window_seconds=1800, retention_days=kept)
    span = ("2025-12-01T00:00:00Z", "2026-02-11T00:00:00Z")
    assert len((await replica.stats("c", *span))["series"]) == 12
    await expire(database, now=T, window_seconds=1800, retention_days=kept)
    await database.close()
    assert len((await replica.stats("c", *span))["series"]) == 11, "when it is right again, what is due goes"


async def test_batches_that_have_left_the_window_go(cluster: StatsCluster) -> None:
    cluster.clock.now = T
    replica = await cluster.start()
    for age in (0, 1_799, 1_000):
        await replica.apply(batch_of([Event(event_id=f"{age}", at=T - age, user="u")]))
    await replica.apply(batch_of([Event(event_id="ahead", at=T + 50_000, user="u")]))
    database = Database.connect(cluster.database_url, pool_size=1, application_name="test")
    await expire(database, now=T + 900, window_seconds=1800, retention_days={})
    await database.close()
    async with await psycopg.AsyncConnection.connect(cluster.database_url) as connection:
        rows = await (await connection.execute("SELECT last_second FROM window_batch ORDER BY 1")).fetchall()
    assert [row[0] for row in rows] == [T, T + 50_000]
    cluster.clock.now = T + 900
    assert (await (await cluster.start()).metrics(1800))["events"] == 1
