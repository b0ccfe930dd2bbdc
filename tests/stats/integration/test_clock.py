"""A clock that is set forward and back: the window is always the one that ends now."""

from __future__ import annotations

import logging

import pytest

from tests.stats.service import Event, StatsCluster, batch_of

NOW = 1_770_757_800
YEAR = 365 * 86_400


def seen(name: str, at: float) -> Event:
    return Event(event_id=name, at=at, user="u-1")


@pytest.mark.parametrize("jump", [9, 600, 1_700, 7_200, YEAR])
async def test_a_clock_that_jumps_forward_and_back_hides_nothing(
    cluster: StatsCluster, caplog: pytest.LogCaptureFixture, jump: int
) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.put_reference({"u-1": {"plan": "pro"}}, "2026-01-01T00:00:00Z")
    await replica.apply(batch_of([seen("before", NOW - 60), seen("now", NOW)]))
    assert (await replica.metrics())["events"] == 2
    cluster.clock.now = NOW + jump
    assert (await replica.metrics(window=60))["events"] == (1 if jump < 60 else 0)
    with caplog.at_level(logging.WARNING):
        cluster.clock.now = NOW + 3
        await replica.apply(batch_of([seen("after", NOW + 2)]))
        answer = await replica.metrics()
    assert (answer["events"], answer["by_plan"], answer["unique_users"]) == (3, {"pro": 3}, 1)
    assert (await replica.metrics(window=2))["events"] == 1
    assert any("clock was set back" in record.message for record in caplog.records)


@pytest.mark.parametrize("back", [60, 7_200, YEAR])
async def test_a_clock_that_is_set_back_shows_the_window_of_its_time(cluster: StatsCluster, back: int) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.apply(batch_of([seen("late", NOW)]))
    assert (await replica.metrics())["events"] == 1
    cluster.clock.now = NOW - back
    await replica.apply(batch_of([seen("then", NOW - back)]))
    assert (await replica.metrics())["events"] == 1
    cluster.clock.now = NOW
    assert (await replica.metrics())["events"] == (2 if back < 300 else 1)


async def test_a_small_correction_of_the_clock_rebuilds_nothing(
    cluster: StatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.apply(batch_of([seen("a", NOW)]))
    assert (await replica.metrics(window=1))["events"] == 1
    with caplog.at_level(logging.WARNING):
        cluster.clock.now = NOW - 5
        assert (await replica.metrics(window=1))["events"] == 1
    assert not any("clock was set back" in record.message for record in caplog.records)
