"""What a million events take on disk, table by table, and in Valkey: `python -m bench --parts disk`.

Realistic events are stored in large requests; what tables, indexes and the write-ahead log have grown by is divided by
their number. What does not grow with events (the pages of an empty database) was there before and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg
import redis

from bench.figures import Figures
from bench.load_client import LoadClient
from bench.measure import Measurement
from bench.system import System
from dmp_stack.settings import CONTEXTS

_SIZES: Final = """
SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_LOG_KEPT: Final = "SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()"
_MILLION: Final = 1_000_000
_MEGABYTE: Final = 1_000_000
_WORTH_A_LINE: Final = 0.005
"""A table that takes less than this share of all is left out."""

Sizes = Mapping[tuple[str, str], tuple[int, int]]


def measure_disk(figures: Figures, directory: Path, *, events: int, seed: int) -> None:
    """Notes what a million events take, in megabytes, by table. Raises what `Measurement` raises.

    events: how many are stored, beside those that are stored first and not counted.
    """
    measurement = Measurement(LoadClient(directory), directory=directory, seed=seed)
    with System() as system:
        measurement.use(system)
        tables, log, remembered = _tables(system), system.read().wal_bytes, _valkey_bytes(system)
        measurement.fill_up(events)
        written = system.read().wal_bytes - log
        grown = _growth(tables, _tables(system))
        scale = _MILLION / events / _MEGABYTE
        everything = sum(map(sum, grown.values()))
        for context in CONTEXTS:
            own = {table: sizes for (of, table), sizes in grown.items() if of == context}
            figures.note(f"{context}, a million events", "MB", [scale * sum(map(sum, own.values()))])
            for table, (rows, indexes) in sorted(own.items(), key=lambda pair: -sum(pair[1])):
                if rows + indexes >= _WORTH_A_LINE * everything:
                    more = {"of it indexes": f"{scale * indexes:.1f}"}
                    figures.note(f"  {context}, table {table}", "MB", [scale * (rows + indexes)], more=more)
        figures.note("tables and indexes together, a million events", "MB", [scale * everything])
        figures.note("write-ahead log written, a million events", "MB", [scale * written])
        figures.note("write-ahead log kept, in all", "MB", [_number(system.log, _LOG_KEPT) / _MEGABYTE])
        figures.note("Valkey, a million events", "MB", [scale * (_valkey_bytes(system) - remembered)])


def _tables(system: System) -> Sizes:
    """By service and table: bytes of the table and of its indexes, once what was deleted is given back."""
    found = {}
    for context in CONTEXTS:
        with system.stack.postgres.connect(f"dmp_{context}") as connection:
            # Else a table that empties itself, such as the outbox, counts for what it held at its fullest.
            connection.execute("VACUUM")
            for table, rows, indexes in connection.execute(_SIZES):
                found[context, table] = (rows, indexes)
    return found


def _growth(before: Sizes, after: Sizes) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        key: (max(0, rows - before.get(key, (0, 0))[0]), max(0, indexes - before.get(key, (0, 0))[1]))
        for key, (rows, indexes) in after.items()
    }


def _valkey_bytes(system: System) -> int:
    with redis.Redis.from_url(system.stack.redis_url) as client:
        return int(client.info("memory")["used_memory"])


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
