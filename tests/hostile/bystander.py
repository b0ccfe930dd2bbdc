"""Another client of the system: one connection for each path, twenty requests a second on each, its own process.

`python -m tests.hostile.bystander URL` says `ready` when every path has answered once. From a line `begin` on its
standard input to the next line it calls; then it prints what it saw as JSON: seconds waited and failures, by path.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

_INTERVAL_SECONDS: Final = 0.05
_STATS: Final = "/stats?campaign_id=camp_bystander&from=2026-02-10T21:00:00Z&to=2026-02-10T22:00:00Z"


def _post_event(api: httpx.Client) -> httpx.Response:
    body = {
        "event_id": str(uuid.uuid4()),
        "type": "click",
        "campaign_id": "camp_bystander",
        "source": "web",
        "occurred_at": "2026-02-10T21:10:00Z",
        "user_id": "u-bystander",
    }
    return api.post("/events", json=body)


CALLS: Final[Mapping[str, Callable[[httpx.Client], httpx.Response]]] = {
    "POST /events": _post_event,
    "POST /identify": lambda api: api.post("/identify", json={"email": "bystander@some-shop.org"}),
    "GET /stats": lambda api: api.get(_STATS),
    "GET /healthz": lambda api: api.get("/healthz"),
    "GET /users": lambda api: api.get("/users/user_1"),
}


def _call(path: str, api: httpx.Client, stop: threading.Event, seen: dict[str, Any]) -> None:
    waits: list[float] = []
    failures: list[str] = []
    due = time.perf_counter()
    while not stop.wait(max(0.0, due - time.perf_counter())):
        begun = time.perf_counter()
        try:
            answer = CALLS[path](api)
            if answer.status_code >= 300:
                failures.append(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            failures.append(repr(error))
        ended = time.perf_counter()
        # Whoever would have called while this call waited would have waited too.
        waits.append(ended - begun)
        due += _INTERVAL_SECONDS
        while due < ended:
            waits.append(ended - due)
            due += _INTERVAL_SECONDS
    seen[path] = {"waits": waits, "failures": failures}


def main(url: str) -> None:
    """Does what the lines of the standard input say, until it ends."""
    apis = {path: httpx.Client(base_url=url, timeout=30.0, trust_env=False) for path in CALLS}
    for path, api in apis.items():
        CALLS[path](api).raise_for_status()
    print("ready", flush=True)
    while sys.stdin.readline() == "begin\n":
        stop = threading.Event()
        seen: dict[str, Any] = {}
        callers = [threading.Thread(target=_call, args=(path, api, stop, seen)) for path, api in apis.items()]
        for caller in callers:
            caller.start()
        sys.stdin.readline()
        stop.set()
        for caller in callers:
            caller.join()
        print(json.dumps(seen), flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the other client saw, by path."""

    waits: Mapping[str, list[float]]
    failures: Mapping[str, list[str]]

    def p99_seconds(self) -> dict[str, float]:
        """The time within which 99 of 100 calls of a path were answered."""
        return {path: sorted(waits)[len(waits) * 99 // 100] for path, waits in self.waits.items() if waits}

    @property
    def worst_p99_seconds(self) -> float:
        return max(self.p99_seconds().values())


class Bystander:
    """The other client's process. Use it as a context."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Bystander:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.bystander", self._url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._read() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def watch(self, what: Callable[[], object], *, at_least_seconds: float) -> Seen:
        """What it sees while this runs."""
        ends = time.monotonic() + at_least_seconds
        self._write("begin\n")
        try:
            what()
            time.sleep(max(0.0, ends - time.monotonic()))  # it watches at least so long
        finally:
            self._write("end\n")
            seen = json.loads(self._read())
        return Seen(
            waits={path: each["waits"] for path, each in seen.items()},
            failures={path: each["failures"] for path, each in seen.items() if each["failures"]},
        )

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


if __name__ == "__main__":
    main(sys.argv[1])
