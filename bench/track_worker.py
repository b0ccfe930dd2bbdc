"""`track_worker.py LIBRARY EVENTS ADDRESS DIRECTORY`: hands events to one library and prints what that cost, as JSON.

A process of its own on one core for each library; nothing of this repository is imported but the client itself. The
address takes connections and answers nothing, so what is measured is what the caller of the library waits for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROPERTIES = {"page": "/shoes", "price": 59.9, "position": 3}
_MANY = 10_000_000


def _dmp(address: str, spool: str) -> Callable[[], object]:
    from dmp_client import DmpClient

    client = DmpClient(address, source="bench", spool=spool, spool_bytes=1 << 30)
    return lambda: client.track("click", campaign_id="camp_1", user_id="u_1", metadata=_PROPERTIES)


def _posthog(address: str) -> Callable[[], object]:
    from posthog import Posthog

    client: Any = Posthog("key", host=address, max_queue_size=_MANY)
    return lambda: client.capture("click", distinct_id="u_1", properties=dict(_PROPERTIES, campaign_id="camp_1"))


def _segment(address: str) -> Callable[[], object]:
    from segment.analytics.client import Client

    client: Any = Client("key", host=address, max_queue_size=_MANY)
    return lambda: client.track("u_1", "click", dict(_PROPERTIES, campaign_id="camp_1"))


def main() -> None:
    """Measures the rate first, then the single calls."""
    library, events, address, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    made: dict[str, Callable[[], Callable[[], object]]] = {
        "dmp, memory": lambda: _dmp(address, ":memory:"),
        "dmp, spool": lambda: _dmp(address, str(Path(directory) / "bench.spool")),
        "posthog": lambda: _posthog(address),
        "segment": lambda: _segment(address),
    }
    track = made[library]()
    for _ in range(500):
        track()
    began, used = time.perf_counter(), time.process_time()
    for _ in range(events):
        track()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    took: list[float] = []
    worked: list[float] = []
    for _ in range(events // 4):
        before, busy = time.perf_counter(), time.thread_time()
        track()
        worked.append(time.thread_time() - busy)
        took.append(time.perf_counter() - before)
    slowest = int(0.999 * len(took))
    answer = {
        "seconds": seconds,
        "cpu": cpu,
        "p999_us": sorted(took)[slowest] * 1e6,
        "p999_cpu_us": sorted(worked)[slowest] * 1e6,
    }
    print(json.dumps(answer), flush=True)
    os._exit(0)  # the libraries wait for answers that never come


main()
