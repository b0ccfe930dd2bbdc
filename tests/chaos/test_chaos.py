"""Whatever is killed, frozen, flushed or cut while clients send and retry: every promise is kept.

In CI each kind of fault happens once; `make chaos` sets DMP_CHAOS_ROUNDS=50.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dmp_stack.settings import StackSettings
from dmp_stack.stack import Stack
from tests.chaos.clients import Client, Ledger, total
from tests.chaos.faults import FAULTS
from tests.chaos.reckoning import reckon
from tests.conditions import wait_until

ROUNDS = int(os.environ.get("DMP_CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("DMP_CHAOS_SEED", "20261122"))
_CLIENTS = 8


@contextmanager
def _running(**environment: str) -> Iterator[Stack]:
    settings = StackSettings(http_port=0, data_directory=None, service_environment=environment)
    with Stack(settings, report=lambda sentence: None) as stack:
        yield stack


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
def test_every_promise_is_kept_whatever_breaks() -> None:
    chance = random.Random(SEED)
    with _running() as stack:
        with _clients(stack) as ledgers:
            for number in range(ROUNDS):
                for name in chance.sample(sorted(FAULTS), len(FAULTS)):
                    FAULTS[name](stack, chance)
                    time.sleep(chance.uniform(0.1, 1.0))
                _report(f"round {number + 1} of {ROUNDS}: {len(total(ledgers).promised)} events promised")
        ledger = total(ledgers)
        reckoning = reckon(stack, ledger)
        _report(f"{len(ledger.promised)} promised, {reckoning.stored} stored, answers {ledger.answers}")
    assert ledger.unanswered == 0
    assert len(ledger.promised) > 100 * ROUNDS
    assert reckoning.clean, reckoning


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("crash", "kept"), [("claimed", True), ("committed", True), ("done_first", False)])
def test_the_order_of_claim_commit_and_done_decides(crash: str, kept: bool) -> None:
    """Ingest dies at the worst moments. With the order reversed, events that were answered 202 are gone: it shows."""
    shims = str(Path(__file__).parent / "shims")
    with _running(DMP_CHAOS_CRASH=crash, PYTHONPATH=shims) as stack:
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
