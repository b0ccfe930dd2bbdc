"""`GET /live` and `WatchLive` show what was rejected last: by kind, without a word of what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp.stats.v1.stats_service_pb2_grpc import StatsServiceStub
from tests.contracts.answers import post_events
from tests.contracts.payloads import activity_event, campaign_event, fresh, fresh_email

PATIENCE_SECONDS = 30


def live_until(api: httpx.Client, fits: Callable[[list[dict[str, Any]]], bool]) -> str:
    """The first view, as it was sent, whose list of rejections fits."""
    seen: list[dict[str, Any]] = []
    with api.stream("GET", f"/live?seconds={PATIENCE_SECONDS}") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                seen = json.loads(line.removeprefix("data: "))["last_rejections"]
                if fits(seen):
                    return line
    raise AssertionError(f"what was rejected is not shown: {seen}")


def test_what_was_rejected_is_shown_by_kind_and_not_by_what_was_sent(
    api: httpx.Client, stats: StatsServiceStub
) -> None:
    email, name = fresh_email(), fresh("jane")
    bad = [
        activity_event(ts="2020-01-01T00:00:00Z", user_id=email),
        activity_event(ts="2020-01-01T00:00:00Z", user_id=email),
        campaign_event(type=email, source=name),
        campaign_event(identifiers={name: email}, source=name),
    ]
    assert post_events(api, [*bad, campaign_event()]).json()["rejected"] == 4
    wanted = {
        ("activity", "ts", "far_from_now"),
        ("campaign", "type", "unknown_value"),
        ("campaign", "identifiers", "unknown_value"),
    }

    def kinds(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], int]:
        return {(row["form"], row["field"], row["reason"]): row["events"] for row in rows}

    view = live_until(api, lambda rows: wanted <= set(kinds(rows)))
    assert email not in view
    assert name not in view
    rows = json.loads(view.removeprefix("data: "))["last_rejections"]
    assert [list(row) for row in rows] == [["ts", "form", "field", "reason", "events"]] * len(rows)
    assert len(rows) <= 20
    assert kinds(rows)["activity", "ts", "far_from_now"] >= 2
    assert [row["ts"] for row in rows] == sorted((row["ts"] for row in rows), reverse=True)

    (typed,) = stats.WatchLive(pb.WatchLiveRequest(seconds=1), timeout=PATIENCE_SECONDS)
    found = {(row.form, row.field, row.reason) for row in typed.last_rejections}
    assert ("activity", "ts", pb.REJECTION_REASON_FAR_FROM_NOW) in found
    assert email not in str(typed)
