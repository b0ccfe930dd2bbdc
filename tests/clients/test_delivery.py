"""Sending through faults: every event is counted once, whatever the network does."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from dmp_client import (
    MEMORY,
    ClosedError,
    DeliveryOptions,
    DmpClient,
    RetryPolicy,
    SpoolFullError,
    Verdict,
    VerdictKind,
)
from tests.clients.interposed import Interposed, Said, Seen, failing
from tests.conditions import wait_until

Make = Callable[..., DmpClient]
AssertCounted = Callable[[str, int], None]


def test_events_are_counted_and_their_verdicts_told(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted, verdicts: list[Verdict]
) -> None:
    client = make_client(gateway_url)
    accepted = [client.track("click", campaign_id=campaign) for _ in range(700)]
    client.track("click", campaign_id=campaign, event_id=accepted[0], occurred_at="2026-01-01T00:00:00Z")
    rejected = client.track("nonsense", campaign_id=campaign)
    assert client.flush(20)
    assert_counted(campaign, 700)
    kinds = {verdict.event_id: verdict.kind for verdict in reversed(verdicts)}
    assert all(kinds[event_id] is VerdictKind.ACCEPTED for event_id in accepted)
    assert [v.kind for v in verdicts if v.event_id == accepted[0]] == [VerdictKind.ACCEPTED, VerdictKind.CONFLICT]
    assert next(v for v in verdicts if v.event_id == rejected).errors["type"]
    health = client.health()
    assert (health.accepted, health.conflicts, health.rejected, health.waiting) == (700, 1, 1, 0)
    assert health.ok


def test_a_refused_request_is_sent_again_with_the_same_bytes(
    make_client: Make, between: Interposed, campaign: str, assert_counted: AssertCounted
) -> None:
    between.behaviour = failing(3, Said(status=503, headers={"retry-after": "0"}))
    client = make_client(between.url)
    for number in range(100):
        client.track("view", campaign_id=campaign, metadata={"number": number})
    assert client.flush(20)
    bodies = [seen.body for seen in between.seen if seen.path == "/events"]
    assert bodies[0] == bodies[1] == bodies[2] == bodies[3]
    assert_counted(campaign, 100)
    assert client.health().failures == 3


def test_an_answer_that_was_lost_is_a_duplicate_not_a_second_count(
    make_client: Make,
    between: Interposed,
    campaign: str,
    assert_counted: AssertCounted,
    verdicts: list[Verdict],
    gateway_url: str,
) -> None:
    stored: list[bool] = []

    def lose_the_answer(seen: object) -> Said | None:
        if stored:
            return None
        stored.append(True)
        between._pass_on(seen)  # type: ignore[arg-type]
        return Said(status=504)

    between.behaviour = lose_the_answer
    client = make_client(between.url)
    client.track("click", campaign_id=campaign)
    assert client.flush(20)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.DUPLICATE]
    assert_counted(campaign, 1)


@pytest.mark.parametrize("page", [b"<html>please log in</html>", b"{}", b'{"accepted":5,"duplicates":0,"rejected":0}'])
def test_something_else_at_the_address_takes_no_event_away(
    make_client: Make, between: Interposed, campaign: str, assert_counted: AssertCounted, page: bytes
) -> None:
    between.behaviour = failing(2, Said(status=202, body=page))
    client = make_client(between.url)
    client.track("click", campaign_id=campaign)
    assert client.flush(20)
    assert_counted(campaign, 1)
    assert client.health().failures == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_address_keeps_the_events(
    make_client: Make, between: Interposed, campaign: str, assert_counted: AssertCounted, status: int
) -> None:
    between.behaviour = lambda _: Said(status=status)
    client = make_client(between.url)
    client.track("click", campaign_id=campaign)
    assert not client.flush(0.5)
    assert client.health().waiting == 1
    assert not client.health().ok
    between.behaviour = lambda _: None
    assert client.flush(20)
    assert_counted(campaign, 1)


def test_a_black_hole_holds_nobody_up_and_loses_nothing(
    make_client: Make, between: Interposed, campaign: str, assert_counted: AssertCounted
) -> None:
    between.open.clear()
    client = make_client(between.url)
    for _ in range(1000):
        client.track("click", campaign_id=campaign)
    begun = time.monotonic()
    assert not client.flush(2.0)
    assert time.monotonic() - begun < 2.2
    between.open.set()
    assert client.flush(30)
    assert_counted(campaign, 1000)


@pytest.mark.parametrize("spool", [MEMORY, "on disk"])
def test_tracking_waits_for_no_network(
    make_client: Make, between: Interposed, campaign: str, spool: str, tmp_path: Path
) -> None:
    """Others share the processors of this machine, so the slowest are judged beside the least that a spool could do."""
    between.open.clear()
    client = make_client(between.url, spool=MEMORY if spool is MEMORY else tmp_path / "stuck.spool")
    database = plain_store(tmp_path / "plain.db")
    took, worked, stored = [], [], []
    for _ in range(9000):
        begun, busy = time.perf_counter(), time.thread_time()
        client.track("click", campaign_id=campaign)
        took.append(time.perf_counter() - begun)
        tracked = time.thread_time()
        database.execute("INSERT INTO event VALUES (?)", (b"x" * 200,))
        worked.append(tracked - busy)
        stored.append(time.thread_time() - tracked)
    assert sorted(took)[len(took) // 2] < 0.001
    assert one_in_a_thousand(worked) < max(0.001, 2 * one_in_a_thousand(stored))
    database.close()
    assert client.health().waiting == 9000
    between.open.set()


def plain_store(path: Path) -> sqlite3.Connection:
    """A SQLite file in WAL mode with a table of events, each statement a transaction."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
        "CREATE TABLE event (body BLOB)"
    )
    return database


def one_in_a_thousand(seconds: list[float]) -> float:
    """What one value in a thousand is longer than."""
    return sorted(seconds)[int(len(seconds) * 0.999)]


@pytest.mark.parametrize("told", ["argument", "environment"])
def test_a_proxy_is_used_for_events_and_questions(
    make_client: Make,
    between: Interposed,
    campaign: str,
    assert_counted: AssertCounted,
    monkeypatch: pytest.MonkeyPatch,
    told: str,
) -> None:
    def onwards(seen: Seen) -> Said:
        return between._pass_on(replace(seen, path=urlsplit(seen.path).path))

    between.behaviour = onwards
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    if told == "environment":
        monkeypatch.setenv("http_proxy", between.url)
    client = make_client("http://dmp.invalid", proxy=between.url if told == "argument" else None)
    client.track("click", campaign_id=campaign)
    assert client.flush(20)
    assert client.system_health().ok
    monkeypatch.undo()
    assert_counted(campaign, 1)
    assert {seen.path for seen in between.seen} == {"http://dmp.invalid/events", "http://dmp.invalid/healthz"}


def test_a_client_that_is_closed_while_the_network_is_stuck_keeps_no_connection(
    make_client: Make, between: Interposed, campaign: str
) -> None:
    port = urlsplit(between.url).port

    def connections() -> int:
        here = psutil.Process().net_connections("tcp")
        return sum(bool(one.raddr) and one.raddr.port == port for one in here)

    between.open.clear()
    client = make_client(between.url, spool=MEMORY)
    client.track("click", campaign_id=campaign)
    wait_until(lambda: client.health().requests == 1, "a request is under way")
    assert not client.close(0.1)
    assert connections() == 1
    between.open.set()
    wait_until(lambda: connections() == 0, "the connection is closed")


def test_a_request_that_is_too_large_is_halved(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted
) -> None:
    wide = DeliveryOptions(max_events=30_000, max_bytes=64 << 20, linger_seconds=0.5)
    client = make_client(gateway_url, delivery=wide, spool=MEMORY)
    for _ in range(12_000):
        client.track("click", campaign_id=campaign)
    assert client.flush(40)
    assert_counted(campaign, 12_000)
    assert client.health().rejected == 0


def test_what_the_server_asks_to_wait_is_kept_and_bounded() -> None:
    policy = RetryPolicy(first_seconds=1.0, most_seconds=8.0)
    assert policy.pause(1, 5.0) == 5.0
    assert policy.pause(1, 3600.0) == 8.0
    assert policy.pause(1, -5.0) <= 1.0
    assert all(0.5 <= policy.pause(1) <= 1.0 for _ in range(100))
    assert all(4.0 <= policy.pause(100) <= 8.0 for _ in range(100))


def test_a_callback_that_fails_stops_nothing(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted
) -> None:
    def fail(_: Verdict) -> None:
        raise RuntimeError("the caller's own mistake")

    client = make_client(gateway_url, on_verdict=fail)
    for _ in range(3):
        client.track("click", campaign_id=campaign)
        assert client.flush(20)
    assert_counted(campaign, 3)
    assert client.health().callback_errors == 3


def test_a_callback_may_use_the_client(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted
) -> None:
    flushed: list[bool] = []

    def again(verdict: Verdict) -> None:
        if verdict.event_id == "first-" + campaign:
            client.track("view", campaign_id=campaign)
            flushed.append(client.flush(60))

    client = make_client(gateway_url, on_verdict=again)
    client.track("click", campaign_id=campaign, event_id="first-" + campaign)
    wait_until(lambda: flushed == [False], "flush() in the callback returns at once")
    assert client.flush(20)
    assert_counted(campaign, 2)


def test_what_the_caller_changes_afterwards_does_not_change_the_event(
    make_client: Make, between: Interposed, campaign: str
) -> None:
    client = make_client(between.url)
    metadata = {"list": [1]}
    client.track("click", campaign_id=campaign, metadata=metadata)
    metadata["list"].append(2)
    assert client.flush(20)
    assert json.loads(_inflated(between.seen[0].body, between))[0]["metadata"] == {"list": [1]}


def test_many_threads_while_flushing_lose_nothing(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted
) -> None:
    client = make_client(gateway_url, spool=MEMORY, delivery=DeliveryOptions(max_events=5000, linger_seconds=0.02))

    def track_many() -> None:
        for _ in range(10_000):
            client.track("click", campaign_id=campaign)

    threads = [threading.Thread(target=track_many) for _ in range(16)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        client.flush(random.uniform(0, 0.05))
    for thread in threads:
        thread.join()
    assert client.flush(100)
    assert client.health().accepted == 160_000
    assert_counted(campaign, 160_000)


def test_a_full_spool_refuses_the_event_loudly(
    make_client: Make, between: Interposed, campaign: str, assert_counted: AssertCounted
) -> None:
    between.open.clear()
    client = make_client(between.url, spool=MEMORY, spool_bytes=50_000)
    while client.health().refused == 0:
        with contextlib.suppress(SpoolFullError):
            client.track("click", campaign_id=campaign)
    kept = client.health().waiting
    assert 50 < kept < 200
    assert client.health().refused == 1
    between.open.set()
    assert client.flush(20)
    client.track("click", campaign_id=campaign)
    assert client.flush(20)
    assert_counted(campaign, kept + 1)


def test_events_that_waited_too_long_are_dropped_and_counted(
    make_client: Make, between: Interposed, campaign: str, verdicts: list[Verdict]
) -> None:
    client = make_client(between.url, delivery=DeliveryOptions(linger_seconds=0.05, max_age_seconds=0.0))
    event_id = client.track("click", campaign_id=campaign)
    assert client.flush(20)
    assert [(verdict.event_id, verdict.kind) for verdict in verdicts] == [(event_id, VerdictKind.EXPIRED)]
    assert client.health().expired == 1
    assert not between.seen


def test_tracking_after_the_end_is_refused(make_client: Make, gateway_url: str, campaign: str) -> None:
    client = make_client(gateway_url)
    client.track("click", campaign_id=campaign)
    assert client.close(20)
    with pytest.raises(ClosedError):
        client.track("click", campaign_id=campaign)
    assert client.close()


def test_flushing_nothing_returns_at_once(make_client: Make, between: Interposed) -> None:
    between.open.clear()
    assert make_client(between.url).flush(0)
    between.open.set()


def _inflated(body: bytes, between: Interposed) -> bytes:
    return gzip.decompress(body) if between.seen[0].headers.get("content-encoding") == "gzip" else body
