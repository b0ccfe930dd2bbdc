"""What a fold adds is counted once, also where the rollups show it later than the rest of its transaction, or earlier.

So it is where they are distributed. Here the tests put the tables into the states that readers meet there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import Database
from dmp_chassis.errors import DependencyUnavailable
from dmp_stats.adapters import cell_store, delta_store, fold_store, rollup_store
from dmp_stats.adapters.delta_store import DeltaCache, FoldedMeanwhileError, Pending
from dmp_stats.domain.cells import merge_cells
from dmp_stats.fold_deltas import fold_deltas
from dmp_stats.read_at_one_fold import read_at_one_fold
from tests.stats.integration.test_campaigns import campaigns
from tests.stats.integration.test_cells import by_hand, cells
from tests.stats.service import Event, Replica, StatsCluster, batch_of

T = 1_770_757_800  # 2026-02-10T21:10:00Z
RANGE = ("2026-02-10T21:00:00Z", "2026-02-10T22:00:00Z")
SHARDED = ("rollup", "rollup_detail", "folded_campaign")


@pytest.fixture
async def database(stats_database_url: str) -> AsyncIterator[Database]:
    opened = Database.connect(stats_database_url, pool_size=2, application_name="test")
    yield opened
    await opened.close()
    with psycopg.connect(stats_database_url) as connection:
        for table in (f"{name}_{table}" for name in ("before", "after") for table in SHARDED):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


def events_of(campaign: str, count: int, stem: str) -> list[Event]:
    return [
        Event(event_id=f"{stem}-{campaign}-{number}", at=T + 31 * number % 600, campaign=campaign, source="web")
        for number in range(count)
    ]


def keep(url: str, name: str) -> None:
    with psycopg.connect(url) as connection:
        for table in SHARDED:
            connection.execute(f"CREATE TABLE {name}_{table} AS SELECT * FROM {table}")  # noqa: S608  # names of this module


def show(url: str, name: str) -> None:
    """Has the shards show what they had when it was kept."""
    with psycopg.connect(url) as connection:
        for table in SHARDED:
            connection.execute(f"TRUNCATE {table}")
            connection.execute(f"INSERT INTO {table} SELECT * FROM {name}_{table}")  # noqa: S608  # names of this module


async def assert_counted(replica: Replica, events: Sequence[Event]) -> None:
    """Every answer of the replica has these events, each once."""
    names = sorted({event.campaign for event in events})
    totals = {name: sum(event.campaign == name for event in events) for name in names}
    for grouped in ({}, {"group_by": "source"}):
        for name in names:
            series = (await replica.stats(name, *RANGE, **grouped))["series"]
            assert sum(point["events"] for point in series) == totals[name]
    listed = (await campaigns(replica, *RANGE))["campaigns"]
    assert {one["campaign_id"]: one["events"] for one in listed} == totals
    found = await cells(replica, "")
    assert {(c.campaign_id, c.minute.seconds, c.type): (c.count, c.digest) for c in found} == by_hand(list(events))


async def test_a_fold_that_does_not_show_yet_is_counted_once(cluster: StatsCluster, database: Database) -> None:
    replica = await cluster.start(fold_interval_seconds=3_600.0)
    deltas = DeltaCache()
    events = [*events_of("a", 20, "1"), *events_of("b", 10, "1")]
    await replica.apply(batch_of(events))
    assert await fold_deltas(database, deltas) == 1
    keep(cluster.database_url, "before")
    more = [*events_of("b", 7, "2"), *events_of("c", 5, "2")]
    await replica.apply(batch_of(more))
    assert await fold_deltas(database, deltas) == 1
    keep(cluster.database_url, "after")
    await assert_counted(replica, [*events, *more])

    show(cluster.database_url, "before")
    await assert_counted(replica, [*events, *more])
    last = events_of("a", 3, "3")
    await replica.apply(batch_of(last))
    await assert_counted(replica, [*events, *more, *last])
    for folder in (deltas, DeltaCache()):
        assert await fold_deltas(database, folder) == 0, "the next fold waits"

    show(cluster.database_url, "after")
    await assert_counted(replica, [*events, *more, *last])
    assert await fold_deltas(database, deltas) == 1
    await assert_counted(replica, [*events, *more, *last])


async def test_a_shard_may_show_a_fold_that_another_does_not(cluster: StatsCluster, database: Database) -> None:
    replica = await cluster.start(fold_interval_seconds=3_600.0)
    deltas = DeltaCache()
    events = [*events_of("a", 4, "1"), *events_of("b", 4, "1")]
    await replica.apply(batch_of(events))
    await fold_deltas(database, deltas)
    keep(cluster.database_url, "before")
    more = [*events_of("a", 3, "2"), *events_of("b", 2, "2")]
    await replica.apply(batch_of(more))
    await fold_deltas(database, deltas)
    with psycopg.connect(cluster.database_url) as connection:
        for table in SHARDED:
            connection.execute(f"DELETE FROM {table} WHERE campaign_id = 'b'")  # noqa: S608  # names of this module
            connection.execute(f"INSERT INTO {table} SELECT * FROM before_{table} WHERE campaign_id = 'b'")  # noqa: S608  # names of this module
    await assert_counted(replica, [*events, *more])


async def test_what_the_release_before_folds_is_counted_and_listed(cluster: StatsCluster, database: Database) -> None:
    replica = await cluster.start(fold_interval_seconds=3_600.0)
    deltas = DeltaCache()
    events = [*events_of("a", 4, "1")]
    await replica.apply(batch_of(events))
    await fold_deltas(database, deltas)
    other = [*events_of("a", 3, "2"), *events_of("z", 3, "2")]
    await replica.apply(batch_of(other))
    async with database.begin() as connection:  # as it does: without numbers
        taken = await delta_store.take(connection, deltas, limit=10)
        await rollup_store.add(connection, merge_cells([delta.cells for delta in taken]))
    for name, count in (("a", 7), ("z", 3)):
        series = (await replica.stats(name, *RANGE))["series"]
        assert sum(point["events"] for point in series) == count
    async with database.begin() as connection:
        await fold_store.mark_missing_campaigns(connection)
    await assert_counted(replica, [*events, *other])


async def test_a_repaired_minute_stays_repaired(cluster: StatsCluster, database: Database) -> None:
    """What the last fold added is not added again to rows that are gone on purpose."""
    replica = await cluster.start(fold_interval_seconds=3_600.0)
    events = [*events_of("a", 4, "1"), *events_of("b", 2, "1")]
    await replica.apply(batch_of(events))
    await fold_deltas(database, DeltaCache())
    async with database.begin() as connection:
        minutes = sorted({int(event.at) // 60 for event in events if event.campaign == "a"})
        await cell_store.remove_minutes(connection, "a", minutes)
        await cell_store.sum_up_again(connection, "a", minutes)
    await assert_counted(replica, [event for event in events if event.campaign == "b"])
    assert (await replica.stats("a", *RANGE))["series"] == []


async def test_who_read_deltas_before_a_fold_and_rows_after_it_reads_again(database: Database) -> None:
    old = Pending(deltas=(), fold=3, folded=None)
    assert old.beyond(3) == ()
    with pytest.raises(FoldedMeanwhileError):
        old.beyond(4)
    looks = 0

    async def read(connection: AsyncConnection) -> int:
        nonlocal looks
        looks += 1
        old.beyond(6 - looks)
        return looks

    assert await read_at_one_fold(database, read) == 3

    async def never(connection: AsyncConnection) -> int:
        old.beyond(4)
        return 0

    with pytest.raises(DependencyUnavailable):
        await read_at_one_fold(database, never)
