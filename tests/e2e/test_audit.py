"""The audit finds and names what was damaged, repairs it from the log, and is clean again."""

from __future__ import annotations

import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from dmp_stack.stack import Stack

RANGE = {"from": "2026-03-01T10:00:00Z", "to": "2026-03-01T10:59:59Z"}


@pytest.fixture
def campaign(stack: Stack) -> str:
    """A campaign of its own with 30 events in three minutes."""
    name = f"audit_{uuid.uuid4().hex}"
    events = [
        {
            "event_id": str(uuid.uuid4()),
            "type": "click" if number % 3 == 0 else "impression",
            "campaign_id": name,
            "creative_id": f"creative_{number % 2}",
            "source": "web",
            "occurred_at": f"2026-03-01T10:0{number % 3}:30Z",
        }
        for number in range(30)
    ]
    answer = httpx.post(f"{stack.http_url}/events", json=events).raise_for_status().json()
    assert (answer["accepted"], answer["applied"]) == (30, True)
    return name


def audit(stack: Stack, campaign: str) -> dict[str, Any]:
    answer = httpx.get(f"{stack.http_url}/audit", params={"campaign_id": campaign, **RANGE}, timeout=30)
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


def damage(stack: Stack, statement: str, campaign: str) -> int:
    """Changes rollups behind the service's back, once they have been folded; how many rows it hit."""
    with psycopg.connect(stack.database_url("stats"), autocommit=True) as connection:
        while True:
            waiting = connection.execute("SELECT count(*) FROM rollup_delta").fetchone()
            if waiting == (0,):
                return connection.execute(statement.encode(), {"campaign": campaign}).rowcount


def test_an_undamaged_campaign_is_clean(stack: Stack, campaign: str) -> None:
    result = audit(stack, campaign)
    assert (result["clean"], result["events"], result["cells"]) == (True, 30, 3)


def test_audits_wait_for_no_turn_one_runs_and_the_others_are_told(stack: Stack, campaign: str) -> None:
    year = {"from": "2025-06-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}

    def ask(_: int) -> httpx.Response:
        return httpx.get(f"{stack.http_url}/audit", params=year, timeout=60)

    with ThreadPoolExecutor(14) as callers:
        answers = list(callers.map(ask, range(14)))
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["details"][0]["reason"] == "AUDIT_BUSY"
    assert refused.headers["retry-after"] == "2"


def test_a_page_token_goes_on_at_its_minute_and_must_lie_in_the_range(stack: Stack, campaign: str) -> None:
    query = {"campaign_id": campaign, **RANGE}
    second_minute = str(int(datetime(2026, 3, 1, 10, 1, tzinfo=UTC).timestamp()) // 60)
    page = httpx.get(f"{stack.http_url}/audit", params={**query, "page_token": second_minute}, timeout=30).json()
    assert (page["events"], page["next_page_token"]) == (20, "")
    for token in ("0", "x", "-1", "²", second_minute + "0", "9" * 40):
        answer = httpx.get(f"{stack.http_url}/audit", params={**query, "page_token": token}, timeout=30)
        assert (answer.status_code, token) == (400, token)
        assert "page_token" in answer.text


@pytest.mark.parametrize(
    ("change", "logged", "counted"),
    [
        ("UPDATE rollup SET count = count - 1", 10, 9),
        ("UPDATE rollup SET digest_low = digest_low # 1", 10, 10),
        ("DELETE FROM rollup", 10, 0),
    ],
)
def test_a_damaged_cell_is_named_and_repaired(
    stack: Stack, campaign: str, change: str, logged: int, counted: int
) -> None:
    where = " WHERE campaign_id = %(campaign)s AND type = 'click' AND grain = 1"
    assert damage(stack, change + where, campaign) == 1
    result = audit(stack, campaign)
    assert result["clean"] is False
    [difference] = result["differences"]
    assert (difference["campaign_id"], difference["minute"], difference["type"]) == (
        campaign,
        "2026-03-01T10:00:00Z",
        "click",
    )
    assert (difference["logged"], difference["counted"]) == (logged, counted)
    assert (difference["logged_digest"] == difference["counted_digest"]) is ("count - 1" in change)
    repair = httpx.post(f"{stack.http_url}/audit/repair", json={"campaign_id": campaign, **RANGE}, timeout=30)
    assert repair.raise_for_status().json()["minutes"] == ["2026-03-01T10:00:00Z"]
    assert audit(stack, campaign)["clean"] is True
    stats = httpx.get(
        f"{stack.http_url}/stats",
        params={"campaign_id": campaign, "from": RANGE["from"], "to": RANGE["to"], "granularity": "hour"},
    )
    [hour] = stats.raise_for_status().json()["series"]
    assert (hour["impressions"], hour["clicks"]) == (20, 10)


def test_the_command_says_what_differs_and_fails_then(stack: Stack, campaign: str) -> None:
    def command(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dmp_stack", "audit", "--address", stack.http_url.removeprefix("http://"), *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    chosen = ("--campaign", campaign, "--from", RANGE["from"], "--to", RANGE["to"])
    clean = command(*chosen)
    assert (clean.returncode, clean.stdout.splitlines()[-1]) == (0, "clean")
    assert "30 counted events in 3 cells" in clean.stdout
    fewer = "UPDATE rollup SET count = count - 1 WHERE campaign_id = %(campaign)s AND type = 'click' AND grain = 1"
    assert damage(stack, fewer, campaign) == 1
    damaged = command(*chosen)
    assert damaged.returncode == 1
    assert f"DIFFERS {campaign} 2026-03-01T10:00:00Z click: 10 logged, 9 counted" in damaged.stdout
    assert command("--from", "yesterday").returncode == 2


def test_a_lost_and_a_repeated_timeline_entry_are_found(stack: Stack) -> None:
    """The range is this test's own: two minutes of a day on which nothing else happens."""
    events = [
        {
            "event_id": str(uuid.uuid4()),
            "type": "view",
            "campaign_id": "audit_timelines",
            "source": "web",
            "occurred_at": f"1999-07-0{1 + number}T10:00:30Z",
            "user_id": f"u_{uuid.uuid4().hex}",
        }
        for number in range(2)
    ]
    httpx.post(f"{stack.http_url}/events", json=events).raise_for_status()
    whole = {"from": "1999-07-01T00:00:00Z", "to": "1999-07-02T23:59:00Z"}

    def ask() -> dict[str, Any]:
        answer: dict[str, Any] = (
            httpx.get(f"{stack.http_url}/audit", params=whole, timeout=30).raise_for_status().json()
        )
        return answer

    before = ask()
    assert before["clean"] is True
    assert before["identified_events"] == before["timeline_entries"] >= 2
    with psycopg.connect(stack.database_url("identity"), autocommit=True) as connection:
        lost = connection.execute("DELETE FROM timeline_entry WHERE event_id = %s", (events[0]["event_id"],))
        added = connection.execute(
            "INSERT INTO timeline_entry SELECT profile_id, occurred_at_us + 1, event_id, type, source"
            " FROM timeline_entry WHERE event_id = %s",
            (events[1]["event_id"],),
        )
        assert (lost.rowcount, added.rowcount) == (1, 1)
    after = ask()
    assert after["clean"] is False
    differences = after["timeline_differences"]
    assert [difference["minute"] for difference in differences] == ["1999-07-01T10:00:00Z", "1999-07-02T10:00:00Z"]
    assert [difference["logged"] - difference["entries"] for difference in differences] == [1, -1]
    with psycopg.connect(stack.database_url("identity"), autocommit=True) as connection:
        connection.execute("DELETE FROM timeline_entry WHERE event_id = %s", (events[1]["event_id"],))
    with psycopg.connect(stack.database_url("ingest"), autocommit=True) as connection:
        connection.execute("DELETE FROM event WHERE campaign_id = 'audit_timelines'")


def test_a_range_that_makes_no_sense_is_refused_by_field(stack: Stack) -> None:
    answer = httpx.get(f"{stack.http_url}/audit", params={"from": "yesterday", "to": RANGE["to"]})
    assert answer.status_code == 400
    assert "from" in answer.text
    assert httpx.post(f"{stack.http_url}/audit/repair", json=RANGE).status_code == 400


@pytest.mark.parametrize("year", ["0002", "1900", "1902", "2038", "2039", "9997"])
def test_a_day_of_any_year_can_be_audited_and_repaired(stack: Stack, campaign: str, year: str) -> None:
    assert_clean(stack, campaign, {"from": f"{year}-01-19T00:00:00Z", "to": f"{year}-01-20T00:00:00Z"})


def test_a_whole_year_can_be_audited_and_repaired(stack: Stack, campaign: str) -> None:
    assert_clean(stack, campaign, {"from": "2038-01-02T00:00:00Z", "to": "2038-12-30T00:00:00Z"})


def assert_clean(stack: Stack, campaign: str, span: dict[str, str]) -> None:
    """A time without events is clean, for a campaign and for all, and there is nothing to repair."""
    for campaign_id in (campaign, ""):
        answer = httpx.get(f"{stack.http_url}/audit", params=span | {"campaign_id": campaign_id}, timeout=30)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["clean"], answer.json()["events"]) == (True, 0)
    repaired = httpx.post(f"{stack.http_url}/audit/repair", json=span | {"campaign_id": campaign}, timeout=30).json()
    assert repaired == {"minutes": [], "next_page_token": ""}


def test_an_event_tells_what_became_of_it(stack: Stack) -> None:
    event_id = str(uuid.uuid4())
    event = {
        "event_id": event_id,
        "type": "ad_click",
        "campaign_id": "audit_lookup",
        "source": "web",
        "occurred_at": "2026-03-01T12:34:56.789Z",
        "user_id": f"u_{event_id}",
        "metadata": {"a": [1, {"b": None}]},
    }
    accepted = httpx.post(f"{stack.http_url}/events", json=event).raise_for_status().json()
    found = httpx.get(f"{stack.http_url}/events/{event_id}").raise_for_status().json()
    assert found["event"]["occurred_at"] == "2026-03-01T12:34:56.789Z"
    assert found["event"]["metadata"] == {"a": [1, {"b": None}]}
    assert found["event"]["identifiers"] == {"user_id": f"u_{event_id}"}
    assert found["delivered"] is True
    assert found["counted_in"] == {
        "campaign_id": "audit_lookup",
        "minute": "2026-03-01T12:34:00Z",
        "type": "ad_click",
        "counts_as": "click",
    }
    assert found["internal_user_id"] == accepted["results"][0]["internal_user_id"]
    assert httpx.get(f"{stack.http_url}/events/{uuid.uuid4()}").status_code == 404
