"""Real traffic and real people's typing errors, against facts that were computed from the files alone."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import datetime

import httpx
import pytest

from tests.contracts.answers import campaign_total, match, post_events, user
from tests.contracts.conftest import REAL_INPUTS
from tests.contracts.payloads import Json, fresh


def lines(name: str) -> list[Json]:
    with (REAL_INPUTS / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def expectation(name: str) -> Json:
    facts: Json = json.loads((REAL_INPUTS / f"{name}.expect.json").read_text(encoding="utf-8"))
    return facts


def in_batches(api: httpx.Client, events: list[Json], size: int = 1000) -> list[Json]:
    """Sends the events in batches; all results in order."""
    results: list[Json] = []
    for start in range(0, len(events), size):
        results += post_events(api, {"source": "real", "events": events[start : start + size]}).json()["results"]
    return results


def test_web_traffic_with_weak_identifiers_only_merges_nobody(api: httpx.Client) -> None:
    rows, expected, run = lines("apache_10k.jsonl"), expectation("apache_10k"), fresh("apache")
    events = [
        {
            "event_id": f"{run}-{row['n']}",
            "event_type": "page_view",
            "timestamp": datetime.fromisoformat(row["ts"]).timestamp(),
            "identifiers": {"ip_address": row["ip_address"], "browser_id": f"{run}-{row['browser_id']}"},
            "metadata": {"path": row["path"], "status": row["status"]},
        }
        for row in rows
    ]
    results = in_batches(api, events)
    assert len(results) == expected["lines"] == 10_000
    assert {result["status"] for result in results} == {"success"}
    assert not any(result["duplicate"] for result in results)
    counts = Counter(row["browser_id"] for row in rows)
    assert len(counts) == expected["distinct_ua"]
    profiles: dict[str, Json] = {}
    for browser, count in counts.items():
        found = match(api, "browser_id", f"{run}-{browser}")
        assert not found.get("candidates")
        shown = user(api, found["internal_user_id"])
        assert shown["merged_ids"] == []
        times = [event["timestamp"] for event in shown["events"]]
        assert times == sorted(times)
        assert len(times) == min(count, 1000)
        profiles[shown["internal_user_id"]] = shown
    assert len(profiles) == expected["distinct_ua"], "each browser has an anonymous profile of its own"


def test_real_ad_traffic_is_counted_exactly(api: httpx.Client) -> None:
    events, expected = lines("avazu_sample.jsonl"), expectation("avazu_sample")
    answer = post_events(api, events).json()
    assert answer["accepted"] + answer["duplicates"] == len(events) == 120
    assert not any(result.get("conflict") for result in answer["results"])
    times = sorted(event["occurred_at"] for event in events)
    totals = {
        campaign: campaign_total(api, campaign, times[0], times[-1])
        for campaign in {event["campaign_id"] for event in events}
    }
    assert sum(impressions for impressions, _ in totals.values()) == expected["impressions"]
    assert sum(clicks for _, clicks in totals.values()) == expected["clicks"]
    for campaign, count in expected["top_campaigns"]:
        assert sum(totals[campaign]) == count


@pytest.mark.parametrize("size", [100])
def test_people_with_typing_errors_are_one_profile_per_email(api: httpx.Client, size: int) -> None:
    with (REAL_INPUTS / "splink_fake_1000.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected, run = expectation("splink_fake_1000"), fresh("splink")
    events = [
        {
            "event_id": f"{run}-{row['unique_id']}",
            "event_type": "form_submit",
            "timestamp": 1700000000,
            "identifiers": {"email": row["email"] and f"{run}.{row['email']}"},
            "metadata": {name: row[name] for name in ("first_name", "surname", "dob", "city")},
        }
        for row in rows
    ]
    results = in_batches(api, events, size)
    verdicts = Counter(result["status"] for result in results)
    assert verdicts == {"success": expected["with_email"], "error": expected["rows"] - expected["with_email"]}
    assert all(bool(row["email"]) == (result["status"] == "success") for row, result in zip(rows, results, strict=True))
    profiles = {result["internal_user_id"] for result in results if result["status"] == "success"}
    assert len(profiles) == expected["distinct_email"] == 424
    by_email = {
        row["email"]: result["internal_user_id"] for row, result in zip(rows, results, strict=True) if row["email"]
    }
    assert len(set(by_email.values())) == expected["distinct_email_casefold"]
