"""`/campaigns`: who had events, how many, when last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import msgspec
import pytest

from dmp.stats.v1 import stats_service_pb2 as pb
from tests.stats.service import THROUGH_GATEWAY, Event, Replica, StatsCluster, batch_of

T = 1_770_757_800  # 2026-02-10T21:10:00Z


async def campaigns(replica: Replica, start: str, end: str, page_size: int = 0, token: str = "") -> dict[str, Any]:
    request = pb.ListCampaignsRequest(to=end, page_size=page_size, page_token=token)
    setattr(request, "from", start)
    response = await replica.stub.ListCampaigns(request, metadata=THROUGH_GATEWAY)
    answer: dict[str, Any] = msgspec.json.decode(response.rendered.data)
    return answer


@pytest.mark.parametrize("fold_seconds", [0.05, 60.0])
async def test_totals_of_a_range(cluster: StatsCluster, fold_seconds: float) -> None:
    replica = await cluster.start(fold_interval_seconds=fold_seconds)
    events = [
        Event(event_id=f"{number}", at=T + number * 601, campaign=("b", "a")[number % 2], type=kind)
        for number, kind in enumerate(["impression", "impression", "click", "view"] * 100)
    ]
    await replica.apply(batch_of([*events, Event(event_id="old", at=T - 9e8, campaign="z")]))
    if fold_seconds < 1:
        await cluster.all_folded()
    answer = await campaigns(replica, "2026-02-10T21:10:30Z", "2026-02-13T16:00:00Z")
    inside = [event for event in events if event.at < 1_770_998_460]
    for listed in answer["campaigns"]:
        own = [event for event in inside if event.campaign == listed["campaign_id"]]
        assert listed["events"] == len(own)
        assert listed["impressions"] == sum(event.type == "impression" for event in own)
        assert listed["clicks"] == sum(event.type == "click" for event in own)
    assert [listed["campaign_id"] for listed in answer["campaigns"]] == ["a", "b"]
    assert [listed["click_through_rate"] for listed in answer["campaigns"]] == [0.0, 1.0]
    for listed in answer["campaigns"]:
        last = max(event.at for event in inside if event.campaign == listed["campaign_id"])
        assert listed["last_activity"] == f"{datetime.fromtimestamp(last, UTC):%Y-%m-%dT%H:%M}:00Z"
    assert answer["next_page_token"] == ""


@pytest.mark.parametrize("fold_seconds", [0.05, 60.0])
async def test_pages_list_everybody_once(cluster: StatsCluster, fold_seconds: float) -> None:
    replica = await cluster.start(fold_interval_seconds=fold_seconds)
    names = sorted(f"c{number}ü" for number in range(25))
    await replica.apply(batch_of([Event(event_id=n, at=T, campaign=n) for n in names[:20]]))
    if fold_seconds < 1:
        await cluster.all_folded()
    await replica.apply(batch_of([Event(event_id=n, at=T, campaign=n) for n in names[15:]]))
    found: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = await campaigns(replica, "2026-02-10T21:10:00Z", "2026-02-10T21:10:00Z", 4, token)
        found += [campaign["campaign_id"] for campaign in page["campaigns"]]
        token, pages = page["next_page_token"], pages + 1
    assert found == names
    assert pages == 7


async def test_a_bad_question_names_every_parameter(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await campaigns(replica, "", "now", -1, "?")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    for field in ("from", "to", "page_size", "page_token"):
        assert field in str(raised.value.details())
