"""`python -m bench.stats_scale`: what statistics cost and how fast they answer, on a durable stack of its own.

    python -m bench.stats_scale              10 million rollup rows, 10 million events in the window, a million users
    python -m bench.stats_scale --quick      a hundredth of it, to see that everything works

It measures the CPU that a counted event costs stats and its PostgreSQL, folding included; `/stats` and `/metrics`
through the gateway; a new reference table while readers read; memory. A target stands beside each figure. Prints a
table and writes a JSON file. Answers are checked: a figure for a wrong answer would mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.machine import describe_machine
from bench.processes import read_memory, read_usage
from bench.report import machine_line
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
    """One run: figures by name, each with its target."""

    def __init__(self, system: System, *, scale: float) -> None:
        self.system = system
        self.scale = scale
        self.rows: list[dict[str, Any]] = []
        self.address = system.stack.service_address("stats")
        self.client = Client(system)
        self.database = system.stack.postgres.connect("dmp_stats")

    def note(self, name: str, unit: str, values: Sequence[float], target: str) -> None:
        """Takes a figure down: the only value, or median, p99 and worst of many."""
        ordered = sorted(values)
        row: dict[str, Any] = {"name": name, "unit": unit, "target": target, "median": statistics.median(ordered)}
        if len(ordered) > 1:
            row |= {"p99": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))], "worst": ordered[-1]}
            row["samples"] = len(ordered)
        self.rows.append(row)
        tail = f"  p99 {row['p99']:9.2f}  worst {row['worst']:9.2f}" if "p99" in row else ""
        print(f"{name:58} {row['median']:10.2f}{tail:38} {unit:12} target {target}", flush=True)

    def cost_of_events(self) -> None:
        """CPU per event, folding included."""
        now = int(time.time())
        for events, campaigns, target in ((1000, 20, "3 (floor 6)"), (1000, 1000, "-"), (100, 20, "-"), (10, 20, "-")):
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
            name = f"CPU per event, batches of {events}, {campaigns} campaigns"
            self.note(name, "us", total, target)
            self.rows[-1]["parts_us"] = {p: round(spent.get(p, 0.0) / (events * rounds) * 1e6, 3) for p in _PARTS}

    def wait_folded(self) -> None:
        """Returns once no delta is left."""
        while self.database.execute("SELECT EXISTS (SELECT FROM rollup_delta)").fetchone() != (False,):
            time.sleep(0.25)

    def series(self) -> None:
        """`/stats` on a month of minutes of many campaigns."""
        campaigns, last = max(2, round(116 * self.scale)), int(time.time()) // 60
        rows = fill_rollups(self.database, campaigns=campaigns, days=30, last_minute=last)
        print(f"{rows:,} rollup rows")
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
        self.note("/stats, one hour by minute", "ms", hour, "10 (floor 20)")
        self.note(
            "/stats, 30 days by minute (43,200 points)",
            "ms",
            [ask(30, timedelta(), 43_200, **month()) for _ in range(40)],
            "250 (floor 500)",
        )
        for zone in ("UTC", "Europe/Berlin"):
            days = [ask(365, timedelta(hours=12), 366, tz=zone, **year) for _ in range(150)]
            self.note(f"/stats, 366 days by day, {zone}", "ms", days, "20 (floor 50)")

    def window(self) -> None:
        """`/metrics` on a full window, and a new reference table while it is read."""
        events, users = round(10_000_000 * self.scale), round(USERS * self.scale)
        memory = read_memory(self.system.pids)["stats"]["rss"]
        now = int(time.time())
        source = batches(1000, seed=3, campaigns=20, first_second=now - 1000, last_second=now, users=users)
        started = time.perf_counter()
        asyncio.run(_apply(self.address, islice(source, events // 1000), parallel=4))
        self.note("filling the window", "events/s", [events / (time.perf_counter() - started)], "-")
        # The gateway has closed what was idle for so long.
        self.client = Client(self.system)
        found = json.loads(self.client.get("/metrics", window=1800)[1])
        if found["events"] < events:
            raise WrongAnswerError(f"the window has {found['events']} of {events} events")
        grown = read_memory(self.system.pids)["stats"]["rss"] - memory
        self.note("memory per million events, with their users", "MiB", [grown / (events / 1e6)], "stated")
        body = reference_body(users, "2026-01-01T00:00:00Z")
        with self.reading(lambda client: client.get("/metrics", window=1800)[0]) as readings:
            spent, _ = self.client.send("PUT", "/reference/users", body)
        self.note(f"PUT /reference/users, {users:,} users, {len(body) >> 20} MiB", "ms", [spent], "5000 (floor 15000)")
        self.note("/metrics?window=1800 while the table is replaced", "ms", readings, "undisturbed")
        full = [self.client.get("/metrics", window=1800)[0] for _ in range(200)]
        self.note(f"/metrics?window=1800, {found['events']:,} events", "ms", full, "100 (floor 200)")
        feeder = multiprocessing.get_context("spawn").Process(target=feed, args=(self.address, 20, 15.0))
        feeder.start()
        time.sleep(3)
        busy = [self.client.get("/metrics", window=1800)[0] for _ in range(200)]
        feeder.join()
        self.note("the same while 20,000 events/s arrive", "ms", busy, "200 (floor 400)")

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
                await asyncio.sleep(max(0.0, started + number / batches_per_second - time.monotonic()))
                await stub.ApplyBatch(pb.ApplyBatchRequest(batch=batch))

    asyncio.run(run())


def main() -> int:
    """Returns the exit code: 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.stats_scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the data")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the data, 0.001 to 1")
    parser.add_argument("--only", choices=("cost", "series", "window"), action="append", help="a part of the cases")
    parser.add_argument("--out", type=Path, default=Path("bench-stats.json"))
    options = parser.parse_args()
    scale = 0.01 if options.quick else options.scale
    parts = options.only or ["cost", "series", "window"]
    with tempfile.TemporaryDirectory(prefix="dmp-bench-") as directory:
        machine = describe_machine(Path(directory))
    print(machine_line(machine), flush=True)
    failure = ""
    with System() as system:
        bench = Bench(system, scale=scale)
        try:
            for part, run in (("cost", bench.cost_of_events), ("series", bench.series), ("window", bench.window)):
                if part in parts:
                    run()
        except WrongAnswerError as error:
            failure = str(error)
        memory = read_memory(system.pids)
    result = {
        "failure": failure,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {"scale": scale},
        "machine": machine,
        "stats": bench.rows,
        "memory_mib": memory,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nAll figures: {options.out}")
    if failure:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
