"""What the load client is given to send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.bodies import POOL_EVENTS, Fill, GrpcRequests, JsonRequests, Pool, event_to_proto, read_records
from dmp.ingest.v1 import ingest_service_pb2


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(seed=1, now=datetime(2026, 3, 4, 15, 0, tzinfo=UTC))


@pytest.fixture
def randomness() -> np.random.Generator:
    return np.random.default_rng(1)


def _json_events(pool: Pool, fill: Fill, path: Path, *, batch: int) -> list[dict[str, Any]]:
    JsonRequests(pool, batch).write(path, fill)
    bodies = [json.loads(body) for body in read_records(path)]
    assert all((isinstance(body, dict) if batch == 1 else len(body) == batch) for body in bodies)
    return [event for body in bodies for event in (body if isinstance(body, list) else [body])]


@pytest.mark.parametrize("batch", [1, 1000])
def test_every_event_of_two_runs_has_an_id_of_its_own(
    pool: Pool, randomness: np.random.Generator, tmp_path: Path, batch: int
) -> None:
    events = [
        *_json_events(pool, pool.fresh(POOL_EVENTS + 1, randomness), tmp_path / "bodies", batch=batch),
        *_json_events(pool, pool.fresh(1, randomness), tmp_path / "bodies", batch=batch),
    ]
    assert len(events) == 3 * POOL_EVENTS
    assert len({event["event_id"] for event in events}) == len(events)


def test_a_body_says_what_the_pool_says_but_for_ids_and_passers_by(
    pool: Pool, randomness: np.random.Generator, tmp_path: Path
) -> None:
    events = _json_events(pool, pool.fresh(1, randomness), tmp_path / "bodies", batch=100)
    visitors: dict[str, str] = {}
    for sent, original in zip(events, pool.events, strict=True):
        own, expected = dict(sent), dict(original)
        assert own.pop("event_id") != expected.pop("event_id")
        known_browser = expected.get("identifiers", {}).get("browser_id", "")
        if known_browser.startswith("visitor-"):
            browser = own["identifiers"].pop("browser_id")
            assert visitors.setdefault(known_browser, browser) == browser, "one visitor stays one visitor"
            expected["identifiers"] = {k: v for k, v in expected["identifiers"].items() if k != "browser_id"}
        assert own == expected
    assert len(set(visitors.values())) == len(visitors) > 1000


def test_grpc_bodies_carry_the_same_events_as_json_bodies(
    pool: Pool, randomness: np.random.Generator, tmp_path: Path
) -> None:
    fill = pool.fresh(1, randomness)
    sent = _json_events(pool, fill, tmp_path / "json", batch=1000)
    GrpcRequests(pool, 1000).write(tmp_path / "grpc", fill)
    typed = [
        event
        for body in read_records(tmp_path / "grpc")
        for event in ingest_service_pb2.PublishEventsRequest.FromString(body[5:]).events
    ]
    assert typed == [event_to_proto(event) for event in sent]


def test_half_known_repeats_every_second_event_with_its_content(
    pool: Pool, randomness: np.random.Generator, tmp_path: Path
) -> None:
    earlier = pool.fresh(1, randomness)
    first = _json_events(pool, earlier, tmp_path / "first", batch=1000)
    second = _json_events(pool, pool.half_known(earlier, randomness), tmp_path / "second", batch=1000)
    assert second[::2] == first[::2]
    assert {event["event_id"] for event in second[1::2]}.isdisjoint(event["event_id"] for event in first)


def test_the_expected_counts_are_those_of_the_events_sent(pool: Pool) -> None:
    campaigns = [event.get("campaign_id") for event in pool.events]
    for campaign, count in pool.counted(POOL_EVENTS + 500).items():
        assert count == campaigns.count(campaign) + campaigns[:500].count(campaign)
    assert pool.counted(7, every=2).total() == sum(campaign is not None for campaign in campaigns[1:7:2])
