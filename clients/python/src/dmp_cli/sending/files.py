"""Opens files of any supported form at any position."""

from __future__ import annotations

import csv
import gzip
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Final, cast

from dmp_cli.failures import CommandError
from dmp_cli.sending.mapping import ColumnMapping
from dmp_cli.sending.records import Position, Record, RecordMaker

_GZIP_MAGIC: Final = b"\x1f\x8b"
_LONGEST_LINE: Final = 4 << 20
STDIN: Final = "-"


class Form(StrEnum):
    """What a file is."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files are read. form: None to tell it from the name. source: of events that name none.

    note: is told what somebody should know, such as columns that go nowhere.
    """

    mapping: ColumnMapping
    note: Callable[[str], None]
    form: Form | None = None
    source: str | None = None


def form_of(name: str) -> Form:
    """The form that a file's name says; NDJSON if it says none."""
    bare = name.lower().removesuffix(".gz")
    if bare.endswith((".csv", ".tsv")):
        return Form.CSV
    return Form.PARQUET if bare.endswith((".parquet", ".pq")) else Form.NDJSON


def records(name: str, reading: Reading, start: Position) -> Iterator[Record]:
    """The events of a file behind a position. Raises CommandError if it cannot be read."""
    form = reading.form or form_of(name)
    try:
        if form is Form.PARQUET:
            yield from _parquet(name, reading, start)
            return
        with _opened(name) as file:
            lines = _csv(file, name, reading, start) if form is Form.CSV else _ndjson(file, reading, start)
            yield from lines
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{name} cannot be read: {what}") from None


def size_of(name: str) -> int | None:
    """Bytes of a plain file, for progress; None if they say nothing about its text."""
    if name == STDIN or name.lower().endswith((".gz", ".parquet", ".pq")):
        return None
    return Path(name).stat().st_size if Path(name).is_file() else None


def _opened(name: str) -> IO[bytes]:
    if name == STDIN:
        return cast("IO[bytes]", gzip.open(sys.stdin.buffer)) if _is_gzip(sys.stdin.buffer) else sys.stdin.buffer
    file = Path(name).open("rb")  # noqa: SIM115 - who reads it closes it
    return cast("IO[bytes]", gzip.open(file)) if _is_gzip(file) else file


def _is_gzip(file: Any) -> bool:  # noqa: ANN401 - a buffered reader
    return bool(file.peek(2)[:2] == _GZIP_MAGIC)


def _skip(file: IO[bytes], offset: int) -> None:
    """Goes to an offset of the text; a stream that cannot seek is read up to there."""
    if not offset:
        return
    if file.seekable():
        file.seek(offset)
        return
    left = offset
    while left and (piece := file.read(min(left, 1 << 20))):
        left -= len(piece)


def _ndjson(file: IO[bytes], reading: Reading, start: Position) -> Iterator[Record]:
    maker = RecordMaker(source=reading.source, position=start)
    _skip(file, start.offset)
    offset, place = start.offset, start.number
    while line := file.readline(_LONGEST_LINE):
        offset += len(line)
        place += 1
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            offset += _rest_of_line(file)
            yield maker.refused(line[:200], offset, place, {"event": [f"is longer than {_LONGEST_LINE} bytes"]})
            continue
        if place == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        record = maker.record(line, offset, place)
        if record is not None:
            yield record


def _rest_of_line(file: IO[bytes]) -> int:
    skipped = 0
    while piece := file.readline(_LONGEST_LINE):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _csv(file: IO[bytes], name: str, reading: Reading, start: Position) -> Iterator[Record]:
    consumed = 0

    def lines() -> Iterator[str]:
        nonlocal consumed
        for line in file:
            consumed += len(line)
            yield line.decode("utf-8-sig" if consumed == len(line) else "utf-8")

    rows = csv.reader(lines(), delimiter="\t" if ".tsv" in name.lower() else ",", strict=True)
    try:
        columns = next(rows, [])
        _note_unmapped(columns, reading)
        maker = RecordMaker(source=reading.source, position=start)
        if start.offset:
            _skip(file, start.offset if file.seekable() else start.offset - consumed)
            consumed = start.offset
        for row in rows:
            place = maker.position.number + 1
            if not row:
                continue
            if len(row) != len(columns):
                problem = {"event": [f"has {len(row)} columns instead of {len(columns)}"]}
                yield maker.refused(",".join(row).encode(), consumed, place, problem)
                continue
            yield _of_row(maker, dict(zip(columns, row, strict=True)), consumed, place, reading)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CommandError(f"{name}, line {rows.line_num}: is no CSV in UTF-8: {error}") from None


def _parquet(name: str, reading: Reading, start: Position) -> Iterator[Record]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise CommandError("Parquet needs pyarrow", hint="pip install 'dmp-client[parquet]'") from None
    try:
        file = parquet.ParquetFile(sys.stdin.buffer if name == STDIN else name)
    except (ValueError, OSError) as error:  # pyarrow's errors are of these kinds
        raise CommandError(f"{name} is no Parquet file: {error}") from None
    _note_unmapped(file.schema_arrow.names, reading)
    maker = RecordMaker(source=reading.source, position=start)
    row_number = 0
    for batch in file.iter_batches(batch_size=2000):
        if row_number + batch.num_rows <= start.offset:
            row_number += batch.num_rows
            continue
        for row in batch.to_pylist():
            row_number += 1
            if row_number > start.offset:
                yield _of_row(maker, row, row_number, row_number, reading)


def _note_unmapped(columns: list[str], reading: Reading) -> None:
    if unmapped := reading.mapping.unmapped(columns):
        reading.note(f"left out, no field has their name: {', '.join(unmapped)} (say --map COLUMN=metadata.NAME)")


def _of_row(maker: RecordMaker, row: dict[str, Any], offset: int, place: int, reading: Reading) -> Record:
    try:
        body = reading.mapping.event(row)
    except (ValueError, TypeError) as error:
        return maker.refused(str(row).encode(), offset, place, {"event": [str(error)]})
    record = maker.record(body, offset, place)
    assert record is not None
    return record
