"""Answers of `/stats` have a bound, and long ones let others pass."""

from __future__ import annotations

import asyncio
import time

import grpc
import psutil
import pytest

from dmp.stats.v1 import stats_service_pb2 as pb
from tests.stats.service import Event, StatsCluster, batch_of

T = 1_767_225_600  # 2026-01-01T00:00:00Z
YEAR = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
MIB = 1024 * 1024


async def test_a_year_of_minutes_in_many_groups_costs_what_there_is(cluster: StatsCluster) -> None:
    replica = await cluster.start(fold_interval_seconds=0.05)
    await replica.apply(
        batch_of(
            [Event(event_id=f"e{n}", at=T + n * 7_200, campaign="camp", creative=f"cr-{n:04}") for n in range(1_000)]
        )
    )
    await cluster.all_folded()
    before = psutil.Process().memory_info().rss
    started = time.monotonic()
    answer = await replica.stats("camp", *YEAR, group_by="creative_id")
    assert time.monotonic() - started < 5
    assert [point["group"] for point in answer["series"]] == [f"cr-{n:04}" for n in range(1_000)]
    assert psutil.Process().memory_info().rss - before < 150 * MIB


@pytest.mark.parametrize("group_by", ["", "type", "creative_id"])
async def test_zeros_of_a_year_of_minutes_are_refused_and_name_page_size(cluster: StatsCluster, group_by: str) -> None:
    replica = await cluster.start()
    await replica.apply(
        batch_of([Event(event_id=f"e{n}", at=T, campaign="camp", creative=f"cr-{n}") for n in range(3)])
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.stats("camp", *YEAR, fill="zero", group_by=group_by)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "page_size" in str(raised.value.details())
    page = await replica.stats("camp", *YEAR, fill="zero", group_by=group_by, page_size=10_000)
    assert len(page["series"]) == 10_000 * (3 if group_by == "creative_id" else 1)
    assert page["next_page_token"]


async def test_the_longest_answer_lets_others_pass(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    await replica.apply(batch_of([Event(event_id="e", at=T, campaign="camp")]))
    span = ("2026-01-01T00:00:00Z", "2026-05-19T21:19:00Z")  # 200,000 minutes
    long = [asyncio.ensure_future(replica.stats("camp", *span, fill="zero")) for _ in range(2)]
    waited: list[float] = []
    while not all(answer.done() for answer in long):
        started = time.monotonic()
        await replica.stub.GetReference(pb.GetReferenceRequest())
        waited.append(time.monotonic() - started)
    assert [len((await answer)["series"]) for answer in long] == [200_000, 200_000]
    # The test decodes both answers on the same loop and processor: what is left to the others is no second.
    assert len(waited) >= 3  # if an answer held the loop from begin to end, it would be one
    assert sorted(waited)[len(waited) // 2] < 1
