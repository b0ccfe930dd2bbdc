"""One run of one case: send, wait until everything is applied, check every count, and say what it cost."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.bodies import Fill, GrpcRequests, JsonRequests, Pool
from bench.cases import Case
from bench.load_client import LoadClient, LoadResult
from bench.processes import read_memory, read_usage
from bench.system import PATHS, System, WrongAnswerError

_FIRST_REQUESTS = {1: 300, 10: 120, 100: 60, 500: 32, 1000: 24}
_WARM_UP_EVENTS = 50_000


class Measurement:
    """Measures cases on one system after another. Remembers how many requests of a case take how long, and what
    `/stats` must show."""

    def __init__(self, client: LoadClient, *, directory: Path, seed: int) -> None:
        self._client = client
        self._bodies = directory / "bodies"
        self._randomness = np.random.default_rng(seed)
        self._pool = Pool(seed=seed)
        self._rendered: dict[tuple[str, int], JsonRequests | GrpcRequests] = {}
        self._rates: dict[str, float] = {}
        self._counted: Counter[str] = Counter()

    def use(self, system: System) -> None:
        """Turns to a new system and sends it the first events: by them it knows most of the people."""
        self._system = system
        self._counted = Counter()
        self.fill_up(_WARM_UP_EVENTS)

    def run(self, case: Case, *, seconds: float) -> dict[str, Any]:
        """Loads the system for about `seconds`.

        Raises WrongAnswerError if any answer, or `/stats` afterwards, is not what it must be.
        """
        if case.name not in self._rates:
            self._send(case, max(case.connections, _FIRST_REQUESTS[case.batch]))
        requests = max(case.connections * 2, round(self._rates[case.name] * seconds))
        figures = self._send(case, requests)
        self._check_stats()
        return figures

    def catch_up(self, case: Case, consumer: str, *, seconds: float) -> float:
        """Sends the load of a case, which has been run before, while a consumer is stopped; then starts it.

        Returns the events a second that it applies until it is up to date. Raises as `run` does.
        """
        requests = max(case.connections * 2, round(self._rates[case.name] * seconds))
        events = requests * case.batch
        self._requests(case).write(self._bodies, self._pool.fresh(events, self._randomness))
        with self._system.without(consumer):
            loaded = self._load(case, requests)
        began = time.monotonic()
        self._system.wait_up_to_date()
        caught_up = time.monotonic() - began
        _check(case, loaded, events=events, new=events)
        self._counted += self._pool.counted(events)
        self._check_stats()
        return events / caught_up

    def fill_up(self, events: int) -> None:
        """Stores that many more events, in large batches."""
        case = Case(transport="json", batch=1000, connections=8)
        while events > 0:
            part = min(events, 500_000)
            self._send(case, part // case.batch)
            events -= part

    def _send(self, case: Case, requests: int) -> dict[str, Any]:
        events = requests * case.batch
        rendered = self._requests(case)
        earlier = self._pool.fresh(events, self._randomness)
        if case.known_percent:
            rendered.write(self._bodies, earlier)
            self._load(case, requests)
            self._system.wait_up_to_date()
            self._counted += self._pool.counted(events)
        fill = self._fill(case, earlier)
        rendered.write(self._bodies, fill)
        stored_before = self._system.read()
        before = read_usage(self._system.pids)
        began = time.monotonic()
        loaded = self._load(case, requests)
        answered = time.monotonic()
        self._system.wait_up_to_date()
        applied = time.monotonic()
        cpu = read_usage(self._system.pids).since(before)
        stored = self._system.read()
        new = self._new_events(case, events)
        _check(case, loaded, events=events, new=new)
        if case.known_percent < 100:
            self._counted += self._pool.counted(events, every=2 if case.known_percent else 1)
        catch_up = applied - answered
        seconds = loaded.seconds + catch_up
        self._rates[case.name] = requests / seconds
        return {
            "events": events,
            "seconds": round(applied - began, 3),
            "events_s": events / seconds,
            "requests_s": requests / loaded.seconds,
            **{f"{name}_ms": value / 1000 for name, value in loaded.latency_us.items()},
            "catch_up_s": catch_up,
            "applied_share": loaded.applied_answers / requests,
            "cpu_us_per_event": {part: spent / events * 1e6 for part, spent in cpu.items()},
            "client_cpu_us_per_event": loaded.client_cpu_seconds / events * 1e6,
            "request_bytes_per_event": loaded.request_bytes / events,
            "wal_bytes_per_event": (stored.wal_bytes - stored_before.wal_bytes) / events,
            "events_per_batch": new / max(1, stored.batches - stored_before.batches),
            "memory_mib": read_memory(self._system.pids),
        }

    def _requests(self, case: Case) -> JsonRequests | GrpcRequests:
        key = (case.transport, case.batch)
        if key not in self._rendered:
            self._rendered[key] = (JsonRequests if case.transport == "json" else GrpcRequests)(self._pool, case.batch)
        return self._rendered[key]

    def _fill(self, case: Case, earlier: Fill) -> Fill:
        return self._pool.half_known(earlier, self._randomness) if case.known_percent == 50 else earlier

    def _load(self, case: Case, requests: int) -> LoadResult:
        return self._client.run(
            transport=case.transport,
            address=self._system.address,
            path=PATHS[case.transport],
            bodies=self._bodies,
            connections=case.connections,
            requests=requests,
            key=self._system.key,
            authority=self._system.authority,
        )

    @staticmethod
    def _new_events(case: Case, events: int) -> int:
        return events // 2 if case.known_percent == 50 else events * (100 - case.known_percent) // 100

    def _check_stats(self) -> None:
        shown = self._system.campaign_totals(self._counted)
        if shown != self._counted:
            wrong = {name: (shown[name], count) for name, count in self._counted.items() if shown[name] != count}
            raise WrongAnswerError(f"/stats is wrong, by campaign (shown, accepted): {wrong}")


def _check(case: Case, loaded: LoadResult, *, events: int, new: int) -> None:
    """Every request answered, every event accepted once or recognised."""
    refused = {status: count for status, count in loaded.statuses.items() if status not in ("200", "202")}
    if loaded.errors or refused:
        raise WrongAnswerError(f"{case.name}: {loaded.errors} requests without an answer, refused by status: {refused}")
    if (loaded.accepted, loaded.duplicates, loaded.rejected) != (new, events - new, 0):
        raise WrongAnswerError(
            f"{case.name}: of {events} events, {new} of them new, {loaded.accepted} were accepted, "
            f"{loaded.duplicates} called duplicates and {loaded.rejected} rejected"
        )
