"""A person who is erased is gone everywhere, is not brought back by a retry, and still counts."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
import redis

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
    _completed(url, receipt)
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

    assert httpx.delete(f"{url}/users/{person}").status_code == 404


def test_nobody_and_no_erasure_are_not_found(stack: Stack) -> None:
    assert httpx.delete(f"{stack.http_url}/users/user_zzzzzzzz").status_code == 404
    assert httpx.get(f"{stack.http_url}/erasures/{uuid.uuid4()}").status_code == 404
    assert httpx.get(f"{stack.http_url}/erasures/nonsense").status_code == 404


def _identified(event_id: str, identifiers: dict[str, str], metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event_type": "view",
        "source": "web",
        "timestamp": 1_700_000_000,
        "identifiers": identifiers,
        "metadata": metadata or {},
    }


def _completed(url: str, receipt: dict[str, Any]) -> dict[str, Any]:
    address = f"{url}/erasures/{receipt['erasure_id']}"
    wait_until(lambda: bool(_receipt(httpx.get(address))["complete"]), "the erasure completed", timeout_seconds=60)
    done = _receipt(httpx.get(address))
    assert done["state"] == "ERASURE_STATE_COMPLETE"
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPeople:
    """Two people who once shared an event, and the erasure of one of them.

    value: each one's identifier, by its type. metadata: of the shared event, whose id ends in `-both`.
    """

    mark: str
    value: dict[str, str]
    metadata: dict[str, Any]
    receipt: dict[str, Any]


def _erase_one_of_two(url: str, erased: str, apart: str) -> TwoPeople:
    """Begins to erase the person of the e-mail or of the phone. They are apart by an undo or by a never-merge."""
    mark = uuid.uuid4().hex
    value = {"email": f"{mark}@x.com", "phone": f"+49 {int(mark, 16) % 10**12:012d}"}
    people = {
        kind: httpx.post(f"{url}/events", json=_identified(f"{mark}-{kind}", {kind: value[kind]})).json()["results"][0][
            "internal_user_id"
        ]
        for kind in value
    }
    if apart == "never_merge":
        body = {"internal_user_ids": list(people.values()), "reason": "father and son"}
        httpx.post(f"{url}/never-merges", json=body).raise_for_status()
    metadata = {"mail": value["email"].upper(), "note": f"call {value['phone']}", "n": 1.50}
    httpx.post(f"{url}/events", json=_identified(f"{mark}-both", value, metadata)).raise_for_status()
    if apart == "undo":
        merges = httpx.get(f"{url}/users/{people['email']}/merges").raise_for_status().json()["merges"]
        httpx.post(f"{url}/merges/{merges[0]['merge_id']}:undo", json={"reason": "father and son"}).raise_for_status()
    receipt = _receipt(httpx.delete(f"{url}/users/{people[erased]}"))
    return TwoPeople(mark=mark, value=value, metadata=metadata, receipt=receipt)


@pytest.fixture(scope="module")
def erased_of_two(stack: Stack) -> dict[tuple[str, str], TwoPeople]:
    """For each way of being apart and each person. An erasure takes ten seconds: they wait together."""
    return {
        (erased, apart): _erase_one_of_two(stack.http_url, erased, apart)
        for erased in ("email", "phone")
        for apart in ("undo", "never_merge")
    }


@pytest.mark.parametrize("erased", ["email", "phone"])
@pytest.mark.parametrize("apart", ["undo", "never_merge"])
def test_events_of_the_other_lose_the_erased_persons_values_and_keep_theirs(
    stack: Stack, erased_of_two: dict[tuple[str, str], TwoPeople], erased: str, apart: str
) -> None:
    url, two = stack.http_url, erased_of_two[erased, apart]
    mark, value = two.mark, two.value
    _completed(url, two.receipt)
    kept = "phone" if erased == "email" else "email"
    event = httpx.get(f"{url}/events/{mark}-both").raise_for_status().json()["event"]
    if erased == "email":
        # It was an event of the erased person: all of its personal fields go.
        assert value["phone"] not in str(event)
    else:
        assert event["identifiers"] == {kept: value[kept]}
        assert event["metadata"] == {"mail": value["email"].upper(), "note": None, "n": 1.5}
    assert value[erased] not in str(event)
    assert value[erased].upper() not in str(event)
    again = httpx.post(f"{url}/events", json=_identified(f"{mark}-both", value, two.metadata)).json()
    assert (again["duplicates"], "conflict" in again["results"][0]) == (1, False)
    assert httpx.get(f"{url}/debug/match", params={"identifier": kept, "value": value[kept]}).status_code == 200


def test_a_person_is_erased_by_an_identifier(stack: Stack) -> None:
    url, email = stack.http_url, f"{uuid.uuid4().hex}@x.com"
    event_id = uuid.uuid4().hex
    person = httpx.post(f"{url}/events", json=_identified(event_id, {"email": email})).json()["results"][0][
        "internal_user_id"
    ]
    body = {"identifier": "email", "value": f" {email.upper()} "}
    assert _receipt(httpx.post(f"{url}/erasures", json=body | {"dry_run": True}))["internal_user_ids"] == [person]
    receipt = _receipt(httpx.post(f"{url}/erasures", json=body))
    assert receipt["internal_user_ids"] == [person]
    _completed(url, receipt)
    assert httpx.get(f"{url}/events/{event_id}").json()["event"].get("identifiers") in (None, {})
    assert httpx.post(f"{url}/erasures", json=body).status_code == 404
    for wrong in ({}, {"identifier": "email"}, {"identifier": "ip_address", "value": "1.1.1.1"}, {"value": "x"}):
        answer = httpx.post(f"{url}/erasures", json=wrong)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["details"]


def _places_of(stack: Stack, marks: list[str]) -> list[str]:
    """Where any of the marks stands: tables of all databases with packed payloads, Redis, and log files."""
    wanted = [mark.lower().encode() for mark in marks]

    def has_one(data: bytes) -> bool:
        unpacked = zlib.decompress(data) if data[:2] in {b"\x78\x01", b"\x78\x9c"} else b""
        return any(mark in part.lower() for mark in wanted for part in (data, unpacked))

    found = []
    for context in ("ingest", "identity", "stats"):
        with psycopg.connect(stack.database_url(context)) as connection:
            for (table,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall():
                query = f"SELECT * FROM {table}"  # noqa: S608  # names of tables
                found += [
                    f"{context}.{table}"
                    for row in connection.execute(query.encode()).fetchall()
                    if any(has_one(c if isinstance(c, bytes) else str(c).encode()) for c in row)
                ]
    with redis.Redis.from_url(stack.redis_url) as server:
        for key in server.scan_iter():
            read = {b"stream": server.xrange, b"string": server.get}.get(server.type(key))
            if has_one(key) or (read is not None and has_one(str(read(key)).encode())):
                found.append(f"redis {key!r}")
    found += [str(path) for path in stack.log_directory.rglob("*.log") if has_one(path.read_bytes())]
    return sorted(set(found))


def _stranger(url: str) -> str:
    """The id of somebody whom nobody else knows."""
    body = _identified(uuid.uuid4().hex, {"email": f"{uuid.uuid4().hex}@x.com"})
    person: str = httpx.post(f"{url}/events", json=body).raise_for_status().json()["results"][0]["internal_user_id"]
    return person


def test_no_store_has_anything_of_an_erased_person(own_stack: Stack) -> None:
    stack = own_stack  # what others sent would all be searched
    url, mark = stack.http_url, uuid.uuid4().hex[:12]
    number = int(mark, 16) % 10**10
    mine = {"email": f"{mark}@pii.example", "phone": f"+49 17 {number}", "user_id": f"User-{mark}"}
    marks = [mark, str(number), f"reason about {mark}"]
    other = _stranger(url)
    metadata = {"name": f"Jane {mark}", "mail": mine["email"]}
    now = {
        "event_id": uuid.uuid4().hex,
        "type": "view",
        "ts": datetime.now(UTC).isoformat(),
        "user_id": mine["user_id"],
    }
    first = httpx.post(f"{url}/events", json=_identified(uuid.uuid4().hex, mine, metadata)).raise_for_status()
    person = first.json()["results"][0]["internal_user_id"]
    httpx.post(f"{url}/events", json=now | {"identifiers": {"browser_id": f"b-{mark}"}}).raise_for_status()
    httpx.post(f"{url}/identify", json={"email": mine["email"], "phoneNumber": mine["phone"]}).raise_for_status()
    reference = {"user_metadata": {mine["user_id"]: {"plan": f"plan-{mark}"}, "u": {"plan": "pro"}}}
    stamp = datetime.now(UTC).isoformat()
    httpx.put(f"{url}/reference/users", json=reference | {"ts": stamp}).raise_for_status()
    merged = httpx.post(f"{url}/merge", json={"internal_user_ids": [person, other], "reason": f"reason about {mark}"})
    merge_id = merged.raise_for_status().json()["merge_id"]
    httpx.post(f"{url}/merges/{merge_id}:undo", json={"reason": f"reason about {mark}"}).raise_for_status()
    apart = {"internal_user_ids": [other, _stranger(url)], "reason": f"neither is {mine['email'].upper()}"}
    httpx.post(f"{url}/never-merges", json=apart).raise_for_status()
    assert httpx.get(f"{url}/reference/users/{mine['user_id']}").status_code == 200
    before = _places_of(stack, marks)
    assert {"ingest.event", "identity.identifier", "identity.contact", "identity.action"} <= set(before)
    assert {"identity.never_merge", "stats.window_batch"} <= set(before)
    _completed(url, _receipt(httpx.delete(f"{url}/users/{person}")))
    wait_until(lambda: _places_of(stack, marks) == [], f"nothing is left (there was {before})", timeout_seconds=20)
    assert httpx.get(f"{url}/reference/users/{mine['user_id']}").status_code == 404
    assert httpx.get(f"{url}/reference/users/u").status_code == 200
