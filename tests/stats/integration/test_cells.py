"""What an audit reads is what was counted, and what a repair writes is what everybody reads."""

from __future__ import annotations

from functools import reduce

import grpc
import psycopg
import pytest
from google.protobuf import timestamp_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from tests.stats.service import COUNTS_AS, Event, Replica, StatsCluster, batch_of, event_key

T = 1_770_757_800  # 2026-02-10T21:10:00Z
DAY = ("2026-02-10T00:00:00Z", "2026-02-10T23:59:59Z")


def at(second: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=second)


async def cells(replica: Replica, campaign_id: str, first: int = T, last: int = T + 3_600) -> list[pb.Cell]:
    request = pb.ListCellsRequest(campaign_id=campaign_id, to=at(last))
    getattr(request, "from").CopyFrom(at(first))
    return [cell async for part in replica.stub.ListCells(request) for cell in part.cells]


def by_hand(events: list[Event]) -> dict[tuple[str, int, str], tuple[int, bytes]]:
    keys = sorted({(event.campaign, int(event.at) // 60 * 60, event.type) for event in events if event.campaign})
    found = {}
    for key in keys:
        ids = [e.event_id for e in events if (e.campaign, int(e.at) // 60 * 60, e.type) == key]
        digest = reduce(lambda a, b: a ^ b, (int.from_bytes(event_key(i), "big") for i in ids))
        found[key] = (len(ids), digest.to_bytes(16, "big"))
    return found


def some_events(count: int, seed: int = 0) -> list[Event]:
    return [
        Event(
            event_id=f"{seed}-{n}",
            at=T + n * 37 % 600,
            campaign=("a", "b", "")[n % 3],
            type=("impression", "click")[n % 2],
            source=("web", "app")[n % 5 // 3],
        )
        for n in range(count)
    ]


async def test_cells_are_as_counted_by_hand_folded_or_not(cluster: StatsCluster) -> None:
    replica = await cluster.start(fold_interval_seconds=0.05)
    later = await cluster.start(fold_interval_seconds=60.0)
    events = some_events(100)
    await replica.apply(batch_of(events[:60]))
    await cluster.all_folded()
    await replica.apply(batch_of(events[60:]))
    for reader in (replica, later):
        found = await cells(reader, "")
        assert [(c.campaign_id, c.minute.seconds, c.type) for c in found] == list(by_hand(events))
        assert [(c.count, c.digest) for c in found] == list(by_hand(events).values())
        own = await cells(reader, "a", T + 60, T + 179)
        assert [(c.minute.seconds, c.type) for c in own] == [
            key[1:] for key in by_hand(events) if key[0] == "a" and T + 60 <= key[1] <= T + 120
        ]


async def test_a_damaged_cell_is_put_right_in_every_granularity(cluster: StatsCluster) -> None:
    replica = await cluster.start(fold_interval_seconds=0.05)
    events = some_events(90)
    await replica.apply(batch_of(events))
    await cluster.all_folded()
    expected = [await replica.stats("a", *DAY, granularity=g, group_by="source") for g in ("minute", "hour", "day")]
    async with await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE rollup SET count = count + 5, digest_low = 7 WHERE bucket = %s", (T // 60 + 2,)
        )
        await connection.execute("DELETE FROM rollup_detail WHERE bucket = %s", (T // 60 + 2,))
    damaged = await cells(replica, "a")
    assert [c.count for c in damaged] != [c for (name, _, _), (c, _) in by_hand(events).items() if name == "a"]
    minute = T + 120
    wrong = [cell for cell in damaged if cell.minute.seconds == minute]
    own = [event for event in events if event.campaign == "a" and int(event.at) // 60 * 60 == minute]
    request = pb.ReplaceCellsRequest(
        campaign_id="a",
        minutes=[at(minute)],
        expected=wrong,
        cells=[
            pb.DetailedCell(
                minute=at(minute),
                type=event.type,
                counts_as=COUNTS_AS[event.type],
                source=event.source,
                creative_id=event.creative,
                count=1,
                digest=event_key(event.event_id),
            )
            for event in own
        ],
    )
    assert (await replica.stub.ReplaceCells(request)).minutes == 1
    found = {(c.campaign_id, c.minute.seconds, c.type): (c.count, c.digest) for c in await cells(replica, "a")}
    assert found == {key: value for key, value in by_hand(events).items() if key[0] == "a"}
    assert [
        await replica.stats("a", *DAY, granularity=g, group_by="source") for g in ("minute", "hour", "day")
    ] == expected


async def test_cells_that_were_counted_meanwhile_are_not_replaced(cluster: StatsCluster) -> None:
    replica = await cluster.start(fold_interval_seconds=60.0)
    await replica.apply(batch_of(some_events(30)))
    seen = [cell for cell in await cells(replica, "a") if cell.minute.seconds == T]
    await replica.apply(batch_of(some_events(30, seed=1)))
    before = await cells(replica, "a")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.stub.ReplaceCells(pb.ReplaceCellsRequest(campaign_id="a", minutes=[at(T)], expected=seen))
    assert raised.value.code() is grpc.StatusCode.ABORTED
    assert await cells(replica, "a") == before
    now = [cell for cell in before if cell.minute.seconds == T]
    await replica.stub.ReplaceCells(pb.ReplaceCellsRequest(campaign_id="a", minutes=[at(T)], expected=now))
    assert await cells(replica, "a") == [cell for cell in before if cell.minute.seconds != T]


async def test_a_bad_correction_is_refused(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    request = pb.ReplaceCellsRequest(
        campaign_id="",
        minutes=[],
        expected=[pb.Cell(campaign_id="b", minute=at(T), digest=b"short")],
        cells=[pb.DetailedCell(minute=at(T), type="\0", count=-1, digest=bytes(16))],
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.stub.ReplaceCells(request)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("campaign_id", "minutes", "expected[0]", "cells[0]"):
        assert field in str(raised.value.details())
