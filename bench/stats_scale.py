"""What statistics cost and how fast they answer: `python -m bench --parts stats`.

It measures the CPU that a counted event costs stats and its PostgreSQL, folding included; `/stats` and `/metrics`
through the gateway; a new reference table while readers read; memory. At full scale: 10 million rollup rows, 10 million
events in the window, a million users. Answers are checked: a figure for a wrong answer would mean nothing.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from bench.figures import Figures
from bench.processes import read_memory, read_usage
from bench.stats_data import USERS, batches, fill_rollups, reference_body
from bench.system import System, WrongAnswerError
from dmp.stats.v1 import stats_service_pb2 as pb
from dmp.stats.v1 import stats_service_pb2_grpc
from dmp_chassis.client import channel

_PARTS = ("stats", "postgres/dmp_stats", "postgres/own")


class Client:
    """One persistent connection to the gateway."""

    def __init__(self, system: System) -> None:
        host, _, port = system.stack.http_url.removeprefix("http://").partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=120)

    def get(self, path: str, **query: object) -> tuple[float, bytes]:
        """Milliseconds and the answer, which must be a 200."""
        return self.send("GET", f"{path}?{urlencode(query)}", None)

    def send(self, method: str, path: str, body: bytes | None) -> tuple[float, bytes]:
        """Milliseconds and the answer, which must be a 200."""
        started = time.perf_counter()
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        data = response.read()
        spent = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise WrongAnswerError(f"{method} {path}: {response.status} {data[:200]!r}")
        return spent, data


class Bench:
    """One run on a running system. scale: a part of the data, 0.001 to 1."""

    def __init__(self, system: System, figures: Figures, *, scale: float) -> None:
        self.system = system
        self.scale = scale
        self.note = figures.note
        self.address = system.stack.service_address("stats")
        self.client = Client(system)
        self.database = system.stack.postgres.connect("dmp_stats")

    def cost_of_events(self) -> None:
        """CPU per event, folding included."""
        now = int(time.time())
        for events, campaigns in ((1000, 20), (1000, 1000), (100, 20), (10, 20)):
            rounds = max(20, round(600 * self.scale)) if events > 10 else max(50, round(1000 * self.scale))
            source = batches(
                events, seed=events + campaigns, campaigns=campaigns, first_second=now - 90, last_second=now
            )
            made = list(islice(source, rounds))
            before = read_usage(self.system.pids)
            asyncio.run(_apply(self.address, made, parallel=2))
            self.wait_folded()
            spent = read_usage(self.system.pids).since(before)
            total = [sum(spent.get(part, 0.0) for part in _PARTS) / (events * rounds) * 1e6]
            name = f"stats, CPU per event, batches of {events}, {campaigns} campaigns"
            floor, target = (6, 3) if (events, campaigns) == (1000, 20) else (None, None)
            parts = {part: round(spent.get(part, 0.0) / (events * rounds) * 1e6, 2) for part in _PARTS}
            self.note(name, "us", total, floor=floor, target=target, more=parts)

    def wait_folded(self) -> None:
        """Returns once no delta is left."""
        while self.database.execute("SELECT EXISTS (SELECT FROM rollup_delta)").fetchone() != (False,):
            time.sleep(0.25)  # between two questions whether all is folded

    def series(self) -> None:
        """`/stats` on a month of minutes of many campaigns."""
        campaigns, last = max(2, round(116 * self.scale)), int(time.time()) // 60
        rows = fill_rollups(self.database, campaigns=campaigns, days=30, last_minute=last)
        print(f"  {rows:,} rollup rows")
        self.client = Client(self.system)
        rnd = random.Random(1)
        end = datetime.fromtimestamp(last * 60, UTC)

        def ask(days: float, back: timedelta, expected: int, **query: object) -> float:
            finish = end - back
            start = finish - timedelta(days=days) + timedelta(minutes=1)
            spent, data = self.client.get(
                "/stats", **{"from": f"{start:%Y-%m-%dT%H:%M:%SZ}", "to": f"{finish:%Y-%m-%dT%H:%M:%SZ}", **query}
            )
            if len(json.loads(data)["series"]) != expected:
                raise WrongAnswerError(f"expected {expected} points: {data[:300]!r}")
            return spent

        def month() -> dict[str, object]:
            return {"campaign_id": f"month_{rnd.randrange(campaigns):05d}"}

        year: dict[str, object] = {"campaign_id": "campaign_year", "granularity": "day"}
        hour = [ask(1 / 24, timedelta(minutes=rnd.randrange(40_000)), 60, **month()) for _ in range(400)]
        self.note("/stats, one hour by minute", "ms", hour, floor=20, target=10)
        self.note(
            "/stats, 30 days by minute (43,200 points)",
            "ms",
            [ask(30, timedelta(), 43_200, **month()) for _ in range(40)],
            floor=500,
            target=250,
        )
        for zone in ("UTC", "Europe/Berlin"):
            days = [ask(365, timedelta(hours=12), 366, tz=zone, **year) for _ in range(150)]
            self.note(f"/stats, 366 days by day, {zone}", "ms", days, floor=50, target=20)

    def window(self) -> None:
        """`/metrics` on a full window, and a new reference table while it is read."""
        events, users = round(10_000_000 * self.scale), round(USERS * self.scale)
        memory = read_memory(self.system.pids)["stats"]["rss"]
        now = int(time.time())
        source = batches(1000, seed=3, campaigns=20, first_second=now - 1000, last_second=now, users=users)
        started = time.perf_counter()
        asyncio.run(_apply(self.address, islice(source, events // 1000), parallel=4))
        self.note("filling the window", "events/s", [events / (time.perf_counter() - started)])
        # The gateway has closed what was idle for so long.
        self.client = Client(self.system)
        found = json.loads(self.client.get("/metrics", window=1800)[1])
        if found["events"] < events:
            raise WrongAnswerError(f"the window has {found['events']} of {events} events")
        grown = read_memory(self.system.pids)["stats"]["rss"] - memory
        self.note("memory per million events, with their users", "MiB", [grown / (events / 1e6)])
        body = reference_body(users, "2026-01-01T00:00:00Z")
        with self.reading(lambda client: client.get("/metrics", window=1800)[0]) as readings:
            spent, _ = self.client.send("PUT", "/reference/users", body)
        size = f"{users:,} users, {len(body) >> 20} MiB"
        self.note(f"PUT /reference/users, {size}", "ms", [spent], floor=15_000, target=5_000)
        self.note("/metrics?window=1800 while the table is replaced", "ms", readings)
        full = [self.client.get("/metrics", window=1800)[0] for _ in range(200)]
        self.note(f"/metrics?window=1800, {found['events']:,} events", "ms", full, floor=200, target=100)
        feeder = multiprocessing.get_context("spawn").Process(target=feed, args=(self.address, 20, 15.0))
        feeder.start()
        while json.loads(self.client.get("/metrics", window=5)[1])["events"] < 40_000:
            time.sleep(0.1)  # between two questions whether enough have arrived
        busy = [self.client.get("/metrics", window=1800)[0] for _ in range(200)]
        if not feeder.is_alive():
            raise WrongAnswerError("the events had all arrived before the last reading")
        feeder.join()
        self.note("/metrics?window=1800 while 20,000 events/s arrive", "ms", busy, floor=400, target=200)

    @contextmanager
    def reading(self, read: Callable[[Client], float]) -> Iterator[list[float]]:
        """Reads again and again beside what the block does; the list has how long each took."""
        spent: list[float] = []
        done = threading.Event()

        def loop() -> None:
            client = Client(self.system)
            while not done.is_set():
                spent.append(read(client))

        thread = threading.Thread(target=loop)
        thread.start()
        yield spent
        done.set()
        thread.join()


async def _apply(address: str, source: Iterator[Any] | Sequence[Any], *, parallel: int) -> None:
    waiting = iter(source)

    async def worker(stub: Any) -> None:  # noqa: ANN401  # stubs of grpc.aio are untyped
        for batch in waiting:
            response = await stub.ApplyBatch(pb.ApplyBatchRequest(batch=batch))
            if response.already_applied:
                raise WrongAnswerError("a new batch counts as applied")

    async with channel(address) as opened, asyncio.TaskGroup() as group:
        stub = stats_service_pb2_grpc.StatsServiceStub(opened)
        for _ in range(parallel):
            group.create_task(worker(stub))


def feed(address: str, batches_per_second: int, seconds: float) -> None:
    """Applies batches of 1000 events of now at that rate; runs in a process of its own."""

    async def run() -> None:
        async with channel(address) as opened:
            stub: Any = stats_service_pb2_grpc.StatsServiceStub(opened)
            started = time.monotonic()
            now = int(time.time())
            source = batches(1000, seed=9, campaigns=20, first_second=now, last_second=now + int(seconds))
            for number, batch in enumerate(islice(source, int(batches_per_second * seconds))):
                # The rate at which batches come is what is measured.
                await asyncio.sleep(max(0.0, started + number / batches_per_second - time.monotonic()))
                await stub.ApplyBatch(pb.ApplyBatchRequest(batch=batch))

    asyncio.run(run())


def measure_stats(figures: Figures, *, scale: float = 1.0) -> dict[str, Any]:
    """Runs all cases on a durable stack of their own; returns its memory at the end, MiB by process.

    Raises WrongAnswerError.
    """
    with System() as system:
        bench = Bench(system, figures, scale=scale)
        bench.cost_of_events()
        bench.series()
        bench.window()
        return read_memory(system.pids)
