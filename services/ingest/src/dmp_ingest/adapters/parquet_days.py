"""Days of the log as Parquet files in a directory, with a manifest that says which are whole.

`<directory>/received_on=2026-11-27/events.parquet` is how warehouses expect a table in parts. A file appears under its
name when it is whole and on disk, and only then in `_manifest.json`. What was cut off leaves a file that begins with a
dot, which the next attempt writes over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dmp_ingest.domain.errors import ExportBusyError

_INSTANT: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_key", pa.binary(16), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("campaign_id", pa.string()),
        pa.field("creative_id", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("occurred_at", _INSTANT, nullable=False),
        pa.field("received_at", _INSTANT, nullable=False),
        pa.field("identifiers", pa.list_(pa.struct([("type", pa.string()), ("value", pa.string())]))),
        pa.field("metadata", pa.string()),
    ]
)
"""One row an event. `metadata` is JSON as it was sent; `event_key` is what audits add up."""

_ROWS_A_GROUP: Final = 50_000
_BYTES_A_GROUP: Final = 32 << 20
_PIECE: Final = 1 << 20
_MANIFEST: Final = "_manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFile:
    """What the manifest says of a day."""

    file: str
    """Its path below the directory."""
    events: int
    bytes: int
    sha256: str


class DayWriter:
    """Writes one day. Rows are kept until they are 50,000 or 32 MiB, then they are a row group of the file."""

    def __init__(self, path: Path) -> None:
        self.events = 0
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows as `LogDays` gives them."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        columns[9] = [
            None if pairs is None else [{"type": kind, "value": value} for kind, value in pairs] for pairs in columns[9]
        ]
        batch = pa.RecordBatch.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        )
        self._batches.append(batch)
        self._rows += len(rows)
        self._bytes += batch.nbytes
        self.events += len(rows)
        if self._rows >= _ROWS_A_GROUP or self._bytes >= _BYTES_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Writes what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches, SCHEMA))
        self._batches, self._rows, self._bytes = [], 0, 0


class ParquetDays:
    """A directory of exported days, for one export at a time."""

    def __init__(self, directory: Path, days: dict[str, DayFile]) -> None:
        self._directory = directory
        self._days = days

    @classmethod
    @contextmanager
    def open(cls, directory: Path) -> Iterator[ParquetDays]:
        """Makes the directory if needed. Raises ExportBusyError if another export writes there, OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExportBusyError from None
            path = directory / _MANIFEST
            told = json.loads(path.read_text())["days"] if path.exists() else {}
            yield cls(directory, {day: DayFile(**file) for day, file in told.items()})

    def has(self, day: date) -> bool:
        """Whether this day is exported and its file has the size that the manifest says."""
        told = self._days.get(day.isoformat())
        if told is None:
            return False
        path = self._directory / told.file
        return path.is_file() and path.stat().st_size == told.bytes

    @contextmanager
    def write(self, day: date) -> Iterator[DayWriter]:
        """A day's file, which is there, and in the manifest, when the block has ended; not at all if it raises."""
        folder = self._directory / f"received_on={day.isoformat()}"
        folder.mkdir(exist_ok=True)
        path, unfinished = folder / "events.parquet", folder / ".events.parquet"
        writer = DayWriter(unfinished)
        try:
            yield writer
        finally:
            writer.close()
        _put_in_place(unfinished, path)
        self._days[day.isoformat()] = DayFile(
            file=str(path.relative_to(self._directory)),
            events=writer.events,
            bytes=path.stat().st_size,
            sha256=_sha256(path),
        )
        self._write_manifest()

    def _write_manifest(self) -> None:
        unfinished = self._directory / f".{_MANIFEST}"
        days = {day: asdict(self._days[day]) for day in sorted(self._days)}
        unfinished.write_text(json.dumps({"format": 1, "days": days}, indent=1) + "\n")
        _put_in_place(unfinished, self._directory / _MANIFEST)


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Gives a whole file its name, once it is on disk."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
