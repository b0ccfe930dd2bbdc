"""Replicas that are replaced one after another, that die or freeze, while clients that never try again use
everything."""

from __future__ import annotations

import itertools
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.freezing import frozen

_CLIENTS = 6
_NOW = datetime.now(UTC).replace(microsecond=0).isoformat()
_NOT_REPEATED = {"/merge"}
"""What the gateway asks of one replica only: the answer to a second request would be another."""


@dataclass(slots=True)
class Load:
    """Clients that send one request after another, each of them once, whatever comes back."""

    url: str
    people: tuple[str, str]
    campaign: str = field(default_factory=lambda: f"camp-{uuid.uuid4()}")
    failures: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    answered: int = 0
    promised: int = 0
    _enough: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """The clients send while the block runs, and have been answered when it ends."""
        with ThreadPoolExecutor(_CLIENTS) as pool:
            clients = [pool.submit(self._send, number) for number in range(_CLIENTS)]
            try:
                self.wait_for(20)
                yield self
            finally:
                self._enough.set()
        for client in clients:
            client.result()

    def wait_for(self, more: int) -> None:
        """Returns once so many more requests were answered."""
        wanted = self.answered + more
        wait_until(lambda: self.answered >= wanted, f"{more} more answers", timeout_seconds=60)

    def _send(self, client: int) -> None:
        choose = random.Random(client)
        asks = (self._one_event, self._events, self._without_ids, self._identify, self._merge, self._read, self._read)
        with httpx.Client(base_url=self.url, timeout=30.0, trust_env=False) as api:
            for number in itertools.count():
                if self._enough.is_set():
                    return
                choose.choice(asks)(api, f"{client}.{number % 20}")

    def _ask(self, api: httpx.Client, method: str, path: str, **sent: Any) -> httpx.Response | None:  # noqa: ANN401
        try:
            answer = api.request(method, path, **sent)
        except httpx.TransportError as error:
            what = type(error).__name__
        else:
            if answer.status_code in (200, 202):
                with self._lock:
                    self.answered += 1
                return answer
            what = answer.text
        with self._lock:
            self.failures[path] += 1
            self.said.append(f"{method} {path}: {what}")
        return None

    def _publish(self, api: httpx.Client, *events: dict[str, Any]) -> None:
        answer = self._ask(api, "POST", "/events", json=events)
        if answer is not None:
            told = answer.json()
            with self._lock:
                self.promised += told["accepted"] + told["duplicates"]

    def _event(self, person: str) -> dict[str, Any]:
        return {
            "event_id": str(uuid.uuid4()),
            "type": "click",
            "campaign_id": self.campaign,
            "source": "web",
            "occurred_at": _NOW,
            "user_id": f"{self.campaign} {person}",
        }

    def _one_event(self, api: httpx.Client, person: str) -> None:
        self._publish(api, self._event(person))

    def _events(self, api: httpx.Client, person: str) -> None:
        self._publish(api, *(self._event(person) for _ in range(20)))

    def _without_ids(self, api: httpx.Client, person: str) -> None:
        """Events that get their ids from the service: who is asked in another's place must give them the same."""
        event = {
            "event_type": "click",
            "timestamp": datetime.fromisoformat(_NOW).timestamp(),
            "source": "web",
            "campaign_id": self.campaign,
            "identifiers": {"email": f"{person}@example.org"},
        }
        self._publish(api, event, event)

    def _identify(self, api: httpx.Client, person: str) -> None:
        self._ask(api, "POST", "/identify", json={"email": f"{person}@example.org"})

    def _merge(self, api: httpx.Client, person: str) -> None:
        self._ask(api, "POST", "/merge", json={"internal_user_ids": self.people, "reason": person})

    def _read(self, api: httpx.Client, person: str) -> None:
        query = {"campaign_id": self.campaign, "from": _NOW, "to": _NOW, "granularity": "minute"}
        self._ask(api, "GET", "/stats", params=query)
        self._ask(api, "GET", "/metrics")
        self._ask(api, "GET", f"/users/{self.people[0]}")


@pytest.fixture(scope="module")
def replicated(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Two replicas of each service."""
    with new_stack(replicas=dict.fromkeys(CONTEXTS, 2)) as stack:
        yield stack


@pytest.fixture
def load(replicated: Stack) -> Load:
    """Clients of a system that is whole."""
    wait_whole(replicated)
    event = {"type": "click", "source": "web", "occurred_at": _NOW, "campaign_id": "another"}
    events = [{**event, "event_id": str(uuid.uuid4()), "user_id": str(uuid.uuid4())} for _ in range(2)]
    answer = httpx.post(f"{replicated.http_url}/events", json=events, trust_env=False)
    first, second = (result["internal_user_id"] for result in answer.json()["results"])
    return Load(replicated.http_url, (first, second))


def wait_whole(stack: Stack) -> None:
    """Returns once the gateway knows that both replicas of each service are well."""

    def is_whole() -> bool:
        return all([replica.well for replica in stack.replicas(context)] == [True, True] for context in CONTEXTS)

    wait_until(is_whole, "both replicas of each service", timeout_seconds=60)


def is_half(stack: Stack, context: str) -> bool:
    """Whether the gateway knows that one of the two replicas is unwell."""
    return sorted(replica.well for replica in stack.replicas(context)) == [False, True]


def wait_busy(stack: Stack, name: str) -> None:
    """Returns once a request waits for an answer of this replica, or the gateway sends it none any more."""
    context, _, number = name.partition("-")

    def is_met() -> bool:
        replica = stack.replicas(context)[int(number or "1") - 1]
        return replica.requests > 0 or not replica.well

    wait_until(is_met, f"a request at {name}", timeout_seconds=60)


def assert_counted_once(stack: Stack, load: Load) -> None:
    """Every event that was promised is counted once, and counts and timelines are what the log has."""
    query = {"from": _NOW, "to": _NOW}
    with httpx.Client(base_url=stack.http_url, timeout=30.0, trust_env=False) as api:
        wait_until(lambda: api.get("/audit", params=query).json().get("clean", False), "clean", timeout_seconds=60)
        series = api.get("/stats", params={**query, "campaign_id": load.campaign, "granularity": "minute"}).json()
    assert sum(point["clicks"] for point in series["series"]) == load.promised


def assert_only_what_was_there_failed(load: Load) -> None:
    """Nothing failed that may be repeated. Of the rest each client may have had one request at the replica."""
    assert load.failures.keys() <= _NOT_REPEATED, load.said
    assert load.failures.total() <= _CLIENTS, load.said


@pytest.mark.timeout(300)
def test_replacing_each_replica_fails_no_request(replicated: Stack, load: Load) -> None:
    with load.running():
        for names in (("ingest", "identity-2", "stats"), ("ingest-2", "identity", "stats-2")):
            for name in names:
                replicated.child(name).request_stop()
            for name in names:
                assert replicated.child(name).wait_stopped(30)
            load.wait_for(20)
            for name in names:
                replicated.child(name).start()
            wait_whole(replicated)
        load.wait_for(20)
    assert not load.failures, load.said
    assert_counted_once(replicated, load)


@pytest.mark.parametrize("names", [("ingest", "identity-2"), ("ingest-2", "identity", "stats")])
def test_who_is_killed_takes_no_request_with_it_that_may_be_repeated(
    replicated: Stack, load: Load, names: tuple[str, ...]
) -> None:
    with load.running():
        for name in names:
            replicated.child(name).pause()  # so that it dies with requests in hand
            wait_busy(replicated, name)
            assert replicated.child(name).kill()
            # Else the next test might begin before the gateway has heard of it, and kill the other one.
            wait_until(partial(is_half, replicated, name.partition("-")[0]), f"{name} left out", timeout_seconds=60)
        load.wait_for(50)
    assert_only_what_was_there_failed(load)
    wait_whole(replicated)
    assert_counted_once(replicated, load)


def test_who_is_frozen_keeps_no_request_that_may_be_repeated(replicated: Stack, load: Load) -> None:
    names = ("ingest-2", "identity", "stats")
    with load.running(), ExitStack() as frost:
        for name in names:
            frost.enter_context(frozen(replicated.child(name)))
        for name in names:
            wait_busy(replicated, name)
        wait_until(lambda: all(is_half(replicated, context) for context in CONTEXTS), "left out", timeout_seconds=60)
        load.wait_for(50)
        frost.close()
        load.wait_for(20)
    assert_only_what_was_there_failed(load)
    wait_whole(replicated)
    assert_counted_once(replicated, load)
