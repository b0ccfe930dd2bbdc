"""A person who is erased is gone everywhere, is not brought back by a retry, and still counts."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import psycopg

from dmp_stack.stack import Stack
from tests.conditions import wait_until


def _event(campaign: str, email: str) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "type": "click",
        "campaign_id": campaign,
        "source": "web",
        "occurred_at": "2026-04-01T10:00:30Z",
        "user_id": f"user of {email}",
        "identifiers": {"email": email, "phone": f"+49 {uuid.uuid4().int % 10**12}"},
        "metadata": {"name": "Ada", "note": email},
    }


def _clicks(url: str, campaign: str) -> int:
    answer = httpx.get(
        f"{url}/stats",
        params={"campaign_id": campaign, "from": "2026-04-01T10:00:00Z", "to": "2026-04-01T10:01:00Z"},
    )
    return sum(point["clicks"] for point in answer.raise_for_status().json()["series"])


def _receipt(answer: httpx.Response) -> dict[str, Any]:
    receipt: dict[str, Any] = answer.raise_for_status().json()["receipt"]
    return receipt


def test_an_erased_person_is_gone_and_still_counted(stack: Stack) -> None:
    url, campaign, email = stack.http_url, f"erase_{uuid.uuid4().hex}", f"{uuid.uuid4().hex}@example.com"
    events = [_event(campaign, email) for _ in range(3)]
    accepted = httpx.post(f"{url}/events", json=events).raise_for_status().json()
    person = accepted["results"][0]["internal_user_id"]

    preview = _receipt(httpx.delete(f"{url}/users/{person}", params={"dry_run": "true"}))
    assert (preview["dry_run"], preview["timeline_entries"], preview["identifiers"]) == (True, 3, 5)
    assert len(httpx.get(f"{url}/users/{person}").raise_for_status().json()["events"]) == 3

    receipt = _receipt(httpx.delete(f"{url}/users/{person}"))
    assert receipt["internal_user_ids"] == [person]
    assert (receipt["timeline_entries"], receipt["cleaned_events"]) == (3, 3)
    assert httpx.get(f"{url}/users/{person}").status_code == 404
    assert httpx.get(f"{url}/debug/match", params={"identifier": "email", "value": email}).status_code == 404
    for context in ("ingest", "identity"):
        with psycopg.connect(stack.database_url(context)) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                query = f"SELECT count(*) FROM {table} t WHERE to_jsonb(t)::text LIKE %s"  # noqa: S608  # names of tables
                assert connection.execute(query.encode(), (f"%{email}%",)).fetchone() == (0,), (context, table)

    again = httpx.post(f"{url}/events", json=events).raise_for_status().json()
    assert (again["accepted"], again["duplicates"]) == (0, 3)
    assert all("conflict" not in result for result in again["results"])
    assert httpx.get(f"{url}/debug/match", params={"identifier": "email", "value": email}).status_code == 404
    assert _clicks(url, campaign) == 3

    erasure = f"{url}/erasures/{receipt['erasure_id']}"
    wait_until(lambda: bool(_receipt(httpx.get(erasure))["complete"]), "the erasure completed", timeout_seconds=30)
    assert httpx.delete(f"{url}/users/{person}").status_code == 404


def test_nobody_and_no_erasure_are_not_found(stack: Stack) -> None:
    assert httpx.delete(f"{stack.http_url}/users/user_zzzzzzzz").status_code == 404
    assert httpx.get(f"{stack.http_url}/erasures/{uuid.uuid4()}").status_code == 404
    assert httpx.get(f"{stack.http_url}/erasures/nonsense").status_code == 404
