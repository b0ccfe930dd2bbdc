"""CONTRACT 1 and the promise of 001: parallel ingest never over-counts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.contracts.answers import campaign_series, campaign_total, user
from tests.contracts.payloads import Json, campaign_event, compact, fresh

CLIENTS = 64


def campaign_events(count: int, campaign: str, users: int) -> list[Json]:
    """Clicks and impressions over ten minutes, of `users` users."""
    stem = fresh("e")
    return [
        campaign_event(
            event_id=f"{stem}-{number}",
            campaign_id=campaign,
            type="click" if number % 4 == 0 else "impression",
            occurred_at=f"2026-02-10T21:1{number % 10}:{number % 60:02d}Z",
            user_id=f"{stem}-u{number % users}",
        )
        for number in range(count)
    ]


def send_from_many(crowd: httpx.Client, shares: Sequence[Sequence[Json]], batch_size: int) -> Counter[str]:
    """Each share is sent over a connection of its own, all at the same time; sums up the answers' counts."""

    def send(share: Sequence[Json]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for start in range(0, len(share), batch_size):
            piece = share[start : start + batch_size]
            response = crowd.post("/events", content=compact(piece[0] if batch_size == 1 else piece))
            assert response.status_code == 202, response.text
            answer = response.json()
            counts.update({name: answer[name] for name in ("accepted", "duplicates", "rejected")})
        return counts

    with ThreadPoolExecutor(len(shares)) as pool:
        return sum(pool.map(send, shares), Counter())


def shuffled_shares(events: list[Json], times: int, seed: int) -> list[list[Json]]:
    """Every event `times` times, in random order, dealt out to the clients."""
    copies = events * times
    random.Random(seed).shuffle(copies)
    return [copies[client::CLIENTS] for client in range(CLIENTS)]


def expected_series(events: list[Json]) -> list[tuple[str, int, int]]:
    clicks = Counter(event["occurred_at"][:16] for event in events if event["type"] == "click")
    impressions = Counter(event["occurred_at"][:16] for event in events if event["type"] == "impression")
    return [(f"{minute}:00Z", impressions[minute], clicks[minute]) for minute in sorted(clicks | impressions)]


def actual_series(api: httpx.Client, campaign: str) -> list[tuple[str, int, int]]:
    return [(point["ts"], point["impressions"], point["clicks"]) for point in campaign_series(api, campaign)]


def test_one_event_from_64_clients_at_once_is_counted_once(api: httpx.Client, crowd: httpx.Client) -> None:
    campaign = fresh("camp")
    (event,) = campaign_events(1, campaign, users=1)
    counts = send_from_many(crowd, [[event]] * CLIENTS, batch_size=1)
    assert counts["accepted"] == 1
    assert counts["duplicates"] == CLIENTS - 1
    assert campaign_total(api, campaign) == (0, 1)


def test_single_events_from_64_clients_are_counted_once(api: httpx.Client, crowd: httpx.Client) -> None:
    campaign = fresh("camp")
    events = campaign_events(160, campaign, users=8)
    counts = send_from_many(crowd, shuffled_shares(events, 4, seed=1), batch_size=1)
    assert (counts["accepted"], counts["duplicates"], counts["rejected"]) == (160, 480, 0)
    assert actual_series(api, campaign) == expected_series(events)


def test_overlapping_batches_from_64_clients_are_counted_once(api: httpx.Client, crowd: httpx.Client) -> None:
    campaign = fresh("camp")
    events = campaign_events(1000, campaign, users=20)
    counts = send_from_many(crowd, shuffled_shares(events, 4, seed=2), batch_size=13)
    assert (counts["accepted"], counts["duplicates"], counts["rejected"]) == (1000, 3000, 0)
    assert actual_series(api, campaign) == expected_series(events)


def test_ten_thousand_events_four_times_from_64_clients_are_counted_once(
    api: httpx.Client, crowd: httpx.Client
) -> None:
    campaign = fresh("camp")
    events = campaign_events(10_000, campaign, users=50)
    counts = send_from_many(crowd, shuffled_shares(events, 4, seed=3), batch_size=125)
    assert (counts["accepted"], counts["duplicates"], counts["rejected"]) == (10_000, 30_000, 0)
    assert actual_series(api, campaign) == expected_series(events)
    entries = Counter(event["user_id"] for event in events)
    for name in (events[0]["user_id"], events[33]["user_id"]):
        found = api.get("/debug/match", params={"identifier": "user_id", "value": name}).json()
        assert len(user(api, found["internal_user_id"])["events"]) == entries[name]


def test_conflicting_contents_at_once_leave_exactly_one(api: httpx.Client, crowd: httpx.Client) -> None:
    campaign = fresh("camp")
    (event,) = campaign_events(1, campaign, users=1)
    variants = [{**event, "occurred_at": f"2026-02-10T21:10:{second:02d}Z"} for second in range(32)]
    counts = send_from_many(crowd, [[variant] for variant in variants], batch_size=1)
    assert (counts["accepted"], counts["duplicates"]) == (1, 31)
    assert campaign_total(api, campaign) == (0, 1)


def test_people_seen_by_many_clients_at_once_become_one_profile_each(api: httpx.Client, crowd: httpx.Client) -> None:
    stem = fresh("p")
    events = [
        campaign_event(identifiers={"email": f"{stem}-{person}@example.org", "browser_id": f"{stem}-{person}-{n}"})
        for person in range(10)
        for n in range(16)
    ]
    random.Random(4).shuffle(events)
    counts = send_from_many(crowd, [events[client::CLIENTS] for client in range(CLIENTS)], batch_size=1)
    assert counts["accepted"] == 160
    profiles = set()
    for person in range(10):
        params = {"identifier": "email", "value": f"{stem}-{person}@example.org"}
        found = api.get("/debug/match", params=params).json()
        shown = user(api, found["internal_user_id"])
        assert len(shown["events"]) == 16
        assert len(shown["identifiers"]["browser_ids"]) == 16
        profiles.add(shown["internal_user_id"])
    assert len(profiles) == 10
