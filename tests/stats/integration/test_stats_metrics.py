"""What stats' metrics say is what happened."""

from __future__ import annotations

import time

import grpc
import psycopg
import pytest

from dmp_chassis import metrics as chassis_metrics
from tests.conditions import eventually
from tests.scraping import grown, series_of
from tests.stats.service import Event, StatsCluster, batch_of


async def test_batches_folds_and_what_waits_for_them_are_counted(
    cluster: StatsCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis_metrics, "ASKED_EVERY_SECONDS", 0.0)
    slow = await cluster.start(fold_interval_seconds=50.0)
    before = await series_of(slow.measured)
    batch = batch_of([Event(event_id=f"e{n}", at=time.time(), campaign="private", user="u") for n in range(5)])
    assert await slow.apply(batch)
    assert not await slow.apply(batch)
    assert await slow.apply(batch_of([Event(event_id="f", at=time.time(), campaign="private")]))
    change = grown(before, await series_of(slow.measured))
    assert change["dmp_stats_batches_total outcome=applied"] == 2
    assert change["dmp_stats_batches_total outcome=repeated"] == 1
    assert change["dmp_stats_events_total"] == 6
    assert change["dmp_stats_apply_duration_seconds_count outcome=applied"] == 3
    assert change["dmp_stats_batch_age_seconds_count"] == 2, "a batch that was applied before has no age"
    assert change["dmp_stats_deltas_waiting"] == 2
    assert not [name for name in change if "private" in name]
    quick = await cluster.start()
    await cluster.all_folded()

    async def counted() -> bool:
        return (await series_of(quick.measured))["dmp_stats_folded_batches_total"] == 2

    await eventually(counted)
    assert (await series_of(quick.measured))["dmp_stats_fold_duration_seconds_count outcome=folded"] >= 1
    assert (await series_of(slow.measured))["dmp_stats_deltas_waiting"] == 0


async def test_the_window_says_its_size_and_lag_and_the_table_its_generation(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    assert (await series_of(replica.measured))["dmp_stats_reference_generation"] == 0
    await replica.apply(batch_of([Event(event_id=f"e{n}", at=time.time(), user="u-1") for n in range(3)]))
    generation = await replica.put_reference({"u-1": {"plan": "pro"}}, "2026-01-01T00:00:00Z")
    await replica.metrics()
    found = await series_of(replica.measured)
    assert found["dmp_stats_window_events"] == 3
    assert found["dmp_stats_reference_generation"] == generation
    assert 0 <= found["dmp_stats_window_lag_seconds"] < 20


@pytest.mark.parametrize("events", [1, 400])
async def test_the_age_of_a_batch_is_from_its_acceptance_on(cluster: StatsCluster, events: int) -> None:
    """However its columns are read."""
    replica = await cluster.start()
    cluster.clock.now = time.time()
    batch = batch_of([Event(event_id=f"e{n}", at=time.time()) for n in range(events)])
    batch.accepted_at_us = round((cluster.clock.now - 7) * 1e6)
    assert await replica.apply(batch)
    found = await series_of(replica.measured)
    assert found["dmp_stats_batch_age_seconds_sum"] == pytest.approx(7, abs=0.001)


async def test_a_fold_and_a_batch_that_the_database_refuses_are_counted_as_failed(cluster: StatsCluster) -> None:
    replica = await cluster.start(fold_interval_seconds=50.0)
    assert await replica.apply(batch_of([Event(event_id="e", at=time.time(), campaign="c")]))
    with psycopg.connect(cluster.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE rollup RENAME TO rollup_away")
        quick = await cluster.start()

        async def has_failed() -> bool:
            found = await series_of(quick.measured)
            return found["dmp_stats_fold_duration_seconds_count outcome=failed"] >= 1

        await eventually(has_failed)
        assert (await series_of(quick.measured))["dmp_stats_folded_batches_total"] == 0
        connection.execute("ALTER TABLE rollup_away RENAME TO rollup")
        await cluster.all_folded()
        connection.execute("ALTER TABLE inbox RENAME TO inbox_away")
        before = await series_of(quick.measured)
        with pytest.raises(grpc.aio.AioRpcError):
            await quick.apply(batch_of([Event(event_id="f", at=time.time(), campaign="c")]))
        connection.execute("ALTER TABLE inbox_away RENAME TO inbox")
    change = grown(before, await series_of(quick.measured))
    assert change["dmp_stats_apply_duration_seconds_count outcome=failed"] == 1
    assert "dmp_stats_batch_age_seconds_count" not in change
