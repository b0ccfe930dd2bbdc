"""What a process says of itself: where its tasks wait, how full its queues are, what its memory is full of."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from dmp_chassis import self_report
from dmp_chassis.metrics import Metrics, gauge
from dmp_chassis.self_report import write_report

SECRET = "hunter2-the-password"


class Parcel:
    """Something of which there are many."""

    def __init__(self) -> None:
        self.content = [SECRET]


async def reported(directory: Path, **gauges: float) -> dict[str, Any]:
    path = await write_report(gauges, directory=directory)
    assert path.stat().st_mode & 0o777 == 0o600
    found: dict[str, Any] = json.loads(path.read_text())
    assert SECRET not in path.read_text()
    return found


async def wait_deep_down(until: asyncio.Event, secret: str) -> None:
    async def inner() -> None:
        await until.wait()

    await inner()


async def test_tasks_are_counted_by_the_place_where_they_wait(tmp_path: Path) -> None:
    until = asyncio.Event()
    tasks = [asyncio.create_task(wait_deep_down(until, SECRET), name=SECRET) for _ in range(7)]
    await asyncio.sleep(0)
    report = await reported(tmp_path)
    until.set()
    await asyncio.gather(*tasks)
    (found,) = [each for each in report["kinds"] if each["coroutine"] == "wait_deep_down"]
    assert found["count"] == 7
    functions = [place.rpartition(" ")[2] for place in found["stack"]]
    assert functions == ["wait_deep_down", "wait_deep_down.<locals>.inner", "Event.wait"]
    assert found["stack"][0].startswith("chassis/test_self_report.py:")
    assert report["tasks"] >= 8


async def test_threads_are_there_with_their_names_and_places(tmp_path: Path) -> None:
    until = threading.Event()
    thread = threading.Thread(target=until.wait, name="waiter")
    thread.start()
    report = await reported(tmp_path)
    until.set()
    thread.join()
    (found,) = [each for each in report["threads"] if each["name"] == "waiter"]
    assert "wait" in found["stack"][-1]


async def test_memory_is_listed_by_type_and_gauges_as_they_are(tmp_path: Path) -> None:
    parcels = [Parcel() for _ in range(40_000)]
    report = await reported(tmp_path, **{"dmp_queue_events ingest": 3})
    (found,) = [each for each in report["objects"] if each["type"].endswith("test_self_report.Parcel")]
    assert found["count"] == len(parcels)
    assert found["bytes"] >= len(parcels) * 16
    assert report["gauges"] == {"dmp_queue_events ingest": 3}
    assert report["most_resident_bytes"] > 10_000_000


async def test_a_report_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_MOST_TASKS", "_MOST_TYPES", "_MOST_THREADS"):
        monkeypatch.setattr(self_report, name, 2)
    until = asyncio.Event()
    tasks = [asyncio.create_task(wait_deep_down(until, "")) for _ in range(7)]
    await asyncio.sleep(0)
    report = await reported(tmp_path)
    until.set()
    await asyncio.gather(*tasks)
    assert sum(each["count"] for each in report["kinds"]) == 2
    assert report["tasks"] >= 8
    assert len(report["objects"]) == 2
    assert len(report["threads"]) <= 2


async def test_what_is_watched_is_named_with_its_labels() -> None:
    metrics = Metrics()
    pool = gauge("dmp_pool", "Pool.", unit="connections", labels={"pool": ("main", "batches")})
    depth = gauge("dmp_depth", "Depth.", unit="events")
    metrics.watch(pool, lambda: 4, "batches")
    metrics.watch(depth, lambda: 9)
    assert metrics.watched() == {"dmp_pool batches": 4, "dmp_depth": 9}
