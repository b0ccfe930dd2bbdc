"""What the machine allows: the figures that the system's own are held against, taken in the same run."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from bench.bodies import JsonRequests, Pool
from bench.empty_gateway import empty_system
from bench.load_client import LoadClient
from bench.processes import read_usage
from bench.system import PATHS

_COPY_ROWS = 50_000
_COPY_BATCH = 1000
_HEADER_BYTES = 19
_TRAILER = b"\xff\xff"
_WARM_UP_REQUESTS = 300


def measure_empty_handler(
    client: LoadClient, *, directory: Path, connections: Sequence[int], seconds: float, own_gateway: bool = False
) -> list[dict[str, Any]]:
    """One event a request through Envoy into a gRPC handler that does nothing, as JSON in a `google.api.HttpBody`.

    own_gateway: through the product's gateway instead of one that only transcodes.
    """
    title = "own gateway, empty handler" if own_gateway else "empty handler"
    bodies = directory / "limit-bodies"
    pool = Pool(seed=0)
    JsonRequests(pool, 1).write(bodies, pool.fresh(1, np.random.default_rng(0)))
    figures = []
    with empty_system(directory, own_gateway=own_gateway) as (address, pids):

        def run(count: int, requests: int) -> dict[str, Any]:
            before = read_usage(pids)
            loaded = client.run(
                transport="json",
                address=address,
                path=PATHS["json"],
                bodies=bodies,
                connections=count,
                requests=requests,
            )
            cpu = read_usage(pids).since(before)
            return {
                "name": f"{title}/c{count}",
                "events_s": requests / loaded.seconds,
                **{f"{name}_ms": value / 1000 for name, value in loaded.latency_us.items()},
                "cpu_us_per_event": {part: spent / requests * 1e6 for part, spent in cpu.items()},
            }

        for count in connections:
            rate = run(count, _WARM_UP_REQUESTS)["events_s"]
            figures.append(run(count, max(_WARM_UP_REQUESTS, round(rate * seconds))))
    return figures


class CopyLimit:
    """Bare COPY of rows that the event log holds, in binary, into a table with the same columns; nothing else
    happens."""

    def __init__(self, connection: psycopg.Connection) -> None:
        """Reads the rows."""
        rows = sql.SQL("COPY (SELECT * FROM event LIMIT {}) TO STDOUT (FORMAT binary)").format(_COPY_ROWS)
        with connection.cursor().copy(rows) as copy:
            data = b"".join(bytes(part) for part in copy)
        self._header, self._rows = data[:_HEADER_BYTES], _split_rows(data)

    def measure(self, connection: psycopg.Connection) -> list[dict[str, Any]]:
        """Without any index, and with the log's own indexes; one transaction per 1000 rows, and one for all."""
        tables = (("no index", "LIKE event"), ("the log's indexes", "LIKE event INCLUDING INDEXES"))
        sizes = ((f"{_COPY_BATCH} a transaction", _COPY_BATCH), ("one transaction", len(self._rows)))
        return [
            self._measure(connection, f"COPY, {indexes}, {transactions}", table, size)
            for indexes, table in tables
            for transactions, size in sizes
        ]

    def _measure(self, connection: psycopg.Connection, name: str, table: str, size: int) -> dict[str, Any]:
        blocks = [
            self._header + b"".join(self._rows[start : start + size]) + _TRAILER
            for start in range(0, len(self._rows), size)
        ]
        connection.execute(f"CREATE TABLE copy_limit ({table})")
        try:
            seconds = _timed(lambda: _copy(connection, blocks))
        finally:
            connection.execute("DROP TABLE copy_limit")
        return {"name": name, "events_s": len(self._rows) / seconds}


def _copy(connection: psycopg.Connection, blocks: Sequence[bytes]) -> None:
    """Every COPY is a transaction of its own: the connection commits by itself."""
    for block in blocks:
        with connection.cursor().copy("COPY copy_limit FROM STDIN (FORMAT binary)") as copy:
            copy.write(block)


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _split_rows(data: bytes) -> list[bytes]:
    """The rows of a binary COPY: a 16-bit count of fields, then a 32-bit length (-1: NULL) and the bytes of each."""
    rows: list[bytes] = []
    at = _HEADER_BYTES
    while True:
        (fields,) = struct.unpack_from(">h", data, at)
        if fields < 0:
            return rows
        start = at
        at += 2
        for _ in range(fields):
            (length,) = struct.unpack_from(">i", data, at)
            at += 4 + max(0, length)
        rows.append(data[start:at])
