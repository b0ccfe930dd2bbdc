"""Whatever is killed, frozen, flushed or cut while clients send and retry: every promise is kept.

In CI each kind of fault happens once and a consumer is away for five seconds; `make chaos` sets DMP_CHAOS_ROUNDS=50 and
DMP_CHAOS_AWAY_SECONDS=60.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from dmp_stack.stack import Stack
from tests.chaos.clients import Client, Ledger, total
from tests.chaos.faults import FAULTS, faults_within_reach
from tests.chaos.reckoning import backlog, reckon, seconds_to_catch_up
from tests.conditions import wait_until
from tests.freezing import frozen

ROUNDS = int(os.environ.get("DMP_CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("DMP_CHAOS_SEED", "20261122"))
AWAY_SECONDS = float(os.environ.get("DMP_CHAOS_AWAY_SECONDS", "5"))
_CLIENTS = 8
_READERS = 2
_CAUGHT_UP_AFTER_FAULTS_SECONDS = 5.0
_CAUGHT_UP_AFTER_ABSENCE_SECONDS = 15.0
_LONGER_THAN_A_LEASE_SECONDS = 3.0


@contextmanager
def _clients(stack: Stack) -> Iterator[list[Ledger]]:
    """Clients that send while the block runs; after it they get their last promises."""
    enough = threading.Event()
    clients = [Client(stack.http_url, seed=SEED + number, enough=enough) for number in range(_CLIENTS)]
    for client in clients:
        client.start()
    yield [client.ledger for client in clients]
    enough.set()
    for client in clients:
        client.join(timeout=120)
        assert not client.is_alive(), "a client got no promise in two minutes"


@pytest.mark.timeout(120 + 120 * ROUNDS)
def test_every_promise_is_kept_whatever_breaks(new_stack: Callable[..., Stack]) -> None:
    chance, names = random.Random(SEED), faults_within_reach()
    with new_stack(report=_keep_quiet) as stack:
        with _clients(stack) as ledgers:
            for number in range(ROUNDS):
                for name in chance.sample(names, len(names)):
                    FAULTS[name](stack, chance)
                    time.sleep(chance.uniform(0.1, 1.0))  # faults come at any time
                _report(f"round {number + 1} of {ROUNDS}: {len(total(ledgers).promised)} events promised")
            over = time.monotonic()
            last_fault = datetime.now(UTC)
            stack.wait_healthy()
            healthy_seconds = time.monotonic() - over
            # The clients go on: what is new must not keep what is old waiting.
            caught_up_seconds = seconds_to_catch_up(stack, before=last_fault)
        _report(
            f"healthy {healthy_seconds:.1f} s after the last fault, all applied {caught_up_seconds:.1f} s after that"
        )
        ledger = total(ledgers)
        reckoning = reckon(stack, ledger)
        _report(f"{len(ledger.promised)} promised, {reckoning.stored} stored, answers {ledger.answers}")
    assert caught_up_seconds <= _CAUGHT_UP_AFTER_FAULTS_SECONDS
    assert ledger.unanswered == 0
    assert len(ledger.promised) > 100 * ROUNDS
    assert reckoning.clean, reckoning


@pytest.mark.timeout(240 + 2 * AWAY_SECONDS)
@pytest.mark.parametrize("consumer", ["identity", "stats"])
def test_a_consumer_that_was_away_catches_up_beside_live_traffic(
    new_stack: Callable[..., Stack], consumer: str
) -> None:
    with new_stack(report=_keep_quiet) as stack:
        with _clients(stack) as ledgers, _readers(stack):
            wait_until(lambda: len(total(ledgers).promised) >= 200, "200 events promised")
            usual = _events_per_second(ledgers, AWAY_SECONDS / 2)
            stack.child(consumer).stop(timeout_seconds=10)
            meanwhile = _events_per_second(ledgers, AWAY_SECONDS)
            stack.child(consumer).start()
            stack.wait_healthy()
            back = datetime.now(UTC)
            waiting, promised = backlog(stack, before=back), len(total(ledgers).promised)
            seconds = seconds_to_catch_up(stack, before=back)
            live = len(total(ledgers).promised) - promised
        _report(
            f"{consumer} was away for {AWAY_SECONDS:g} s, in which {meanwhile:.0f} events/s were promised, against"
            f" {usual:.0f} events/s when nobody is away; {waiting} batches waited, all applied after {seconds:.1f} s,"
            f" in which {live / seconds:.0f} events/s more were promised"
        )
        reckoning = reckon(stack, total(ledgers))
    assert waiting > 10
    assert seconds <= _CAUGHT_UP_AFTER_ABSENCE_SECONDS
    assert reckoning.clean, reckoning


@pytest.mark.timeout(240)
def test_an_ingest_that_was_frozen_for_longer_than_its_leases_is_harmless(new_stack: Callable[..., Stack]) -> None:
    with new_stack(report=_keep_quiet, replicas={"ingest": 2}) as stack:
        with _clients(stack) as ledgers:
            for _ in range(3):
                _wait_for_more(ledgers, 100)
                with frozen(stack.child("ingest")):
                    time.sleep(_LONGER_THAN_A_LEASE_SECONDS)  # how long it is frozen is what is tried
        reckoning = reckon(stack, total(ledgers))
    assert reckoning.clean, reckoning


def _events_per_second(ledgers: list[Ledger], seconds: float) -> float:
    """How many events were promised a second, from now on."""
    before, began = len(total(ledgers).promised), time.monotonic()
    time.sleep(seconds)  # the time over which is counted
    return (len(total(ledgers).promised) - before) / (time.monotonic() - began)


def _wait_for_more(ledgers: list[Ledger], events: int) -> None:
    enough = len(total(ledgers).promised) + events
    wait_until(lambda: len(total(ledgers).promised) >= enough, f"{events} more events promised")


@contextmanager
def _readers(stack: Stack) -> Iterator[None]:
    """Readers of people's timelines, as fast as they are answered, while the block runs."""
    enough = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=stack.http_url, timeout=10) as http:
            while not enough.is_set():
                for number in range(1, 20):
                    with contextlib.suppress(httpx.HTTPError):
                        http.get(f"/users/user_{number}")

    readers = [threading.Thread(target=read, daemon=True) for _ in range(_READERS)]
    for reader in readers:
        reader.start()
    yield
    enough.set()
    for reader in readers:
        reader.join(timeout=30)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("crash", "kept"), [("claimed", True), ("committed", True), ("done_first", False)])
def test_the_order_of_claim_commit_and_done_decides(new_stack: Callable[..., Stack], crash: str, kept: bool) -> None:
    """Ingest dies at the worst moments. With the order reversed, events that were answered 202 are gone: it shows."""
    shims = str(Path(__file__).parent / "shims")
    environment = {"DMP_CHAOS_CRASH": crash, "PYTHONPATH": shims}
    with new_stack(report=_keep_quiet, service_environment=environment) as stack:
        with _clients(stack) as ledgers:
            wait_until(
                lambda: stack.child("ingest").deaths >= 3 and len(total(ledgers).promised) >= 300,
                "ingest dead three times and 300 events promised",
                timeout_seconds=60,
            )
        stack.child("ingest")
        ledger = total(ledgers)
        reckoning = reckon(stack, ledger)
    assert reckoning.clean is kept, reckoning
    assert bool(reckoning.lost) is not kept


def _report(sentence: str) -> None:
    print(f"chaos: {sentence}", file=sys.stderr, flush=True)


def _keep_quiet(sentence: str) -> None:
    """Deaths are expected here."""
