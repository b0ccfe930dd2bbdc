"""What erasing a person with very many events costs, and what others feel of it: `python -m bench --parts erasures`.

The person is erased through the gateway. Meanwhile others ask `/identify` at a steady rate, and other people are erased
one after another.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

from bench.erasure_data import ManyEvents
from bench.figures import Figures
from bench.processes import read_memory, read_usage
from bench.system import System, WrongAnswerError

_REST_SECONDS = 15.0
_ASKED_EACH_SECONDS = 0.05
_CALLERS = 16
_OTHERS = 40
_OTHERS_EACH_SECONDS = 3.0
_LONGEST_SECONDS = 3600.0


class _Caller:
    """One persistent connection to the gateway."""

    def __init__(self, system: System) -> None:
        self._connection = http.client.HTTPConnection(*system.address, timeout=120)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer; raises WrongAnswerError unless it is a success."""
        self._connection.request(method, path, None if body is None else json.dumps(body))
        response = self._connection.getresponse()
        data = response.read()
        if response.status >= 300:
            raise WrongAnswerError(f"{method} {path}: {response.status} {data[:200]!r}")
        answer: dict[str, Any] = json.loads(data)
        return answer


def measure_erasures(figures: Figures, *, entries: int) -> None:
    """Runs the case on a durable stack of its own. Raises WrongAnswerError."""
    with System() as system:
        _Bench(system, figures, entries).run()


class _Bench:
    def __init__(self, system: System, figures: Figures, entries: int) -> None:
        self._system = system
        self._note = figures.note
        self._entries = entries
        self._mark = uuid.uuid4().hex

    def run(self) -> None:
        """Fills, erases, and takes down what it took."""
        caller = _Caller(self._system)
        person = _add_person(caller, self._mark)
        others = [_add_person(caller, f"{self._mark}-{number}") for number in range(_OTHERS)]
        events = ManyEvents(
            self._system.stack,
            person,
            email=f"{self._mark}@x.com",
            user_id=f"u-{self._mark}",
            entries=self._entries,
        )
        began = time.monotonic()
        events.store()
        self._note("filling, entries", "/s", [self._entries / (time.monotonic() - began)])
        for context in ("ingest", "identity"):
            with self._system.stack.postgres.connect(f"dmp_{context}") as connection:
                connection.execute("VACUUM ANALYZE")
                connection.execute("CHECKPOINT")
        with self._asking() as spent:
            time.sleep(_REST_SECONDS)  # the time over which is measured
        self._note("/identify, nobody is erased", "ms", spent)
        memory, usage = read_memory(self._system.pids), read_usage(self._system.pids)
        began = time.monotonic()
        caller = _Caller(self._system)  # a new one: the gateway has closed what was idle during the filling
        with self._asking() as spent, self._erasing(others) as waited:
            receipt = caller.ask("DELETE", f"/users/{person}")["receipt"]
            self._note("DELETE answered", "s", [time.monotonic() - began])
            seconds = self._wait_erased(caller, receipt["erasure_id"], began, events.left)
        cpu = read_usage(self._system.pids).since(usage)
        grown = {name: now["pss"] - memory[name]["pss"] for name, now in read_memory(self._system.pids).items()}
        per_entry = {part: round(total / self._entries * 1e6, 1) for part, total in cpu.items()}
        self._note(f"{self._entries:,} entries erased after", "s", [seconds])
        self._note("entries erased", "entries/s", [self._entries / seconds])
        self._note("CPU per entry, all", "us", [sum(cpu.values()) / self._entries * 1e6], more=per_entry)
        self._note("/identify while the person is erased", "ms", spent, target=200)
        if waited:
            self._note("erasures of others, until complete", "s", waited)
        self._note("largest growth of a process", "MiB", [max(grown.values())], more=grown)

    @contextmanager
    def _asking(self) -> Iterator[list[float]]:
        """Asks `/identify` with new values at a steady rate while the block runs; the list has milliseconds.

        Each call is made when it is due, by whichever of some callers is free: who waits for an answer holds off nobody
        else. If all of them wait, a call counts from when it was due.
        """
        spent: list[float] = []
        over = threading.Event()
        mark = uuid.uuid4().hex
        own = threading.local()

        def ask(number: int, due: float) -> None:
            if not hasattr(own, "caller"):
                own.caller = _Caller(self._system)
            own.caller.ask("POST", "/identify", {"email": f"{mark}{number}@x.com", "phoneNumber": f"{mark}{number}"})
            spent.append((time.monotonic() - due) * 1000)

        def loop() -> None:
            calls: deque[Future[None]] = deque()
            due = time.monotonic()
            with ThreadPoolExecutor(_CALLERS) as callers:
                for number in count():
                    if over.wait(max(0.0, due - time.monotonic())):
                        break
                    calls.append(callers.submit(ask, number, due))
                    due += _ASKED_EACH_SECONDS
                    while calls and calls[0].done():
                        calls.popleft().result()
            for call in calls:
                call.result()

        yield from _beside(loop, over, spent)

    @contextmanager
    def _erasing(self, people: list[str]) -> Iterator[list[float]]:
        """Erases other people, one every few seconds; the list has the seconds until each was complete."""
        waited: list[float] = []
        over = threading.Event()

        def loop() -> None:
            caller = _Caller(self._system)
            for person in people:
                began = time.monotonic()
                receipt = caller.ask("DELETE", f"/users/{person}")["receipt"]
                while not receipt["complete"]:
                    time.sleep(0.1)  # as often as a patient caller asks
                    receipt = caller.ask("GET", f"/erasures/{receipt['erasure_id']}")["receipt"]
                waited.append(time.monotonic() - began)
                if over.wait(_OTHERS_EACH_SECONDS):
                    return

        yield from _beside(loop, over, waited)

    def _wait_erased(self, caller: _Caller, erasure_id: str, began: float, left: Callable[[], dict[str, int]]) -> float:
        """Seconds until nothing about the person was left."""
        shown = time.monotonic()
        while True:
            receipt = caller.ask("GET", f"/erasures/{erasure_id}")["receipt"]
            now = time.monotonic()
            if receipt["state"] in ("ERASURE_STATE_SETTLING", "ERASURE_STATE_COMPLETE") and not any(left().values()):
                return time.monotonic() - began
            if now - began > _LONGEST_SECONDS:
                raise WrongAnswerError(f"not erased: {receipt}")
            if now - shown > 10:
                shown = now
                print(f"    {now - began:6.0f} s: {receipt['cleaned_events']:,} events cleaned", flush=True)
            time.sleep(0.25)  # between two questions whether it is done


def _add_person(caller: _Caller, name: str) -> str:
    identifiers = {"email": f"{name}@x.com", "user_id": f"u-{name}"}
    event = {"event_type": "view", "source": "web", "timestamp": 1_700_000_000, "identifiers": identifiers}
    answer = caller.ask("POST", "/events", event)
    person: str = answer["results"][0]["internal_user_id"]
    return person


def _beside(loop: Callable[[], None], over: threading.Event, found: list[float]) -> Iterator[list[float]]:
    failures: list[Exception] = []

    def guarded() -> None:
        try:
            loop()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]
