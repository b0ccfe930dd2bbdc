"""The made-up traffic: the same for a seed, and as varied as real traffic is."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from dmp_stack import generator
from dmp_stack.generator import Event, Traffic, generate_events
from dmp_stack.people import generate_people, reference_users

END = datetime(2026, 3, 4, 15, 0, tzinfo=UTC)
TRAFFIC = Traffic(
    start=END - timedelta(hours=6), end=END, seed=3, sessions=1500, live_sessions=100, people=200, broken=0.01
)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(generate_events(TRAFFIC))


def test_the_same_seed_gives_the_same_events_and_another_seed_gives_others(events: list[Event]) -> None:
    assert json.dumps(list(generate_events(TRAFFIC))) == json.dumps(events)
    other = Traffic(start=TRAFFIC.start, end=END, seed=4, sessions=1500, people=200)
    assert {event["event_id"] for event in generate_events(other)}.isdisjoint(event["event_id"] for event in events)


def test_impressions_are_many_clicks_few_and_purchases_rare(events: list[Event]) -> None:
    kinds = Counter(event.get("type") or event["event_type"] for event in events)
    impressions, clicks = kinds["impression"] + kinds["ad_impression"], kinds["click"] + kinds["ad_click"]
    assert impressions > 5 * clicks > 25 * kinds["purchase"] > 0


def test_all_three_forms_and_several_sources_occur(events: list[Event]) -> None:
    forms = Counter(name for event in events for name in ("occurred_at", "ts", "timestamp") if name in event)
    assert min(forms.values()) > 50
    assert len(forms) == 3
    assert {"ad_server", "web", "analytics_script", "ad_script", "crm", "wallet", "app"} <= {
        event["source"] for event in events
    }


def test_a_repeated_event_has_the_same_content(events: list[Event]) -> None:
    contents: dict[str, Event] = {}
    for event in events:
        assert contents.setdefault(event["event_id"], event) == event
    repetitions = len(events) - len(contents)
    assert len(events) * 0.02 < repetitions < len(events) * 0.04


def test_events_arrive_out_of_order_and_some_of_them_late(events: list[Event]) -> None:
    moments = [moment for event in events if (moment := _moment(event)) is not None]
    backwards = [earlier - later for earlier, later in pairwise(moments) if later < earlier]
    assert len(backwards) > len(moments) / 10
    assert max(backwards) > 600
    assert max(moments) <= END.timestamp()


def test_activity_events_are_of_the_last_minute(events: list[Event]) -> None:
    ages = [END.timestamp() - _parsed(event["ts"]) for event in events if "ts" in event]
    assert ages
    assert 0 <= min(ages) <= max(ages) < 70


def test_no_two_people_share_a_strong_identifier() -> None:
    people = generate_people(seed=3, people=500)
    values = [
        value
        for person in people
        for value in (person.email, person.phone, person.wallet_address, person.user_id)
        if value
    ]
    assert len(values) == len(set(values))
    browsers = Counter(browser for person in people for browser in set(person.browser_ids))
    assert max(browsers.values()) > 1, "a household shares a tablet"


def test_a_person_is_known_to_several_sources_by_different_identifiers(events: list[Event]) -> None:
    sources: dict[str, set[str]] = {}
    for event in events:
        identifiers: dict[str, Any] = event["identifiers"] if isinstance(event.get("identifiers"), dict) else {}
        for kind in identifiers:
            sources.setdefault(kind, set()).add(event["source"])
    assert {"email", "phone", "wallet_address", "user_id", "browser_id"} <= set(sources)
    assert "browser_id" not in {kind for kind in sources if sources[kind] == {"crm"}}


def test_broken_events_occur_only_on_request(events: list[Event]) -> None:
    assert any(event["source"] == "partner_feed" for event in events)
    sound = Traffic(start=TRAFFIC.start, end=END, seed=3, sessions=1500, people=200)
    assert all(event["source"] != "partner_feed" for event in generate_events(sound))


def test_the_reference_table_misses_some_users() -> None:
    people = generate_people(seed=3, people=500)
    users = {person.user_id for person in people if person.user_id}
    known = set(reference_users(people))
    assert known < users
    assert len(known) > len(users) * 0.8


def test_the_command_writes_one_event_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--sessions", "40", "--seed", "5", "--end", "2026-03-04T15:00:00+00:00"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 100
    assert all(json.loads(line)["event_id"] for line in lines)


def _moment(event: Event) -> float | None:
    """The event time in Unix seconds; None for those that are broken on purpose."""
    if event["source"] == "partner_feed":
        return None
    if "timestamp" in event:
        return float(event["timestamp"])
    return _parsed(event.get("ts") or event["occurred_at"])


def _parsed(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
