"""The log as Parquet, day by day: whole files only, each event once, and an export that was cut off goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from dmp_chassis.database import Database
from dmp_chassis.settings import SettingsError
from dmp_ingest import log_commands
from dmp_ingest.adapters import parquet_days
from dmp_ingest.adapters.log_days import LogDays
from dmp_ingest.adapters.parquet_days import ParquetDays
from dmp_ingest.domain.errors import ExportBusyError
from dmp_ingest.export_log import Exported, export_log, last_whole_day
from dmp_ingest.settings import read_export_settings
from tests.ingest.conftest import Ingest, campaign_event

FIRST = date(2026, 11, 20)
LAST = date(2026, 11, 22)


@pytest.fixture
async def log(ingest_database_url: str) -> AsyncIterator[LogDays]:
    database = Database.connect(ingest_database_url, pool_size=1, application_name="test")
    yield LogDays(database)
    await database.close()


async def fill(ingest: Ingest, *, each_day: int) -> None:
    """Three days with so many events, at their very edges and in between; one event before and one after them."""
    begin = datetime(2026, 11, 20, tzinfo=UTC)
    moments = [begin - timedelta(microseconds=1), begin + timedelta(days=3)]
    for day in range(3):
        last = begin + timedelta(days=day + 1, microseconds=-1)
        moments += [begin + timedelta(days=day), last, *[last - timedelta(hours=9)] * (each_day - 2)]
    named = {"identifiers": {"email": "a@b.c"}, "user_id": "u", "metadata": {"n": 1.50, "ü": None}}
    await ingest.post([campaign_event(f"e{number}", **named) for number in range(len(moments))])
    with psycopg.connect(ingest.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE event SET received_at = %s WHERE event_id = %s",
            [(moment, f"e{number}") for number, moment in enumerate(moments)],
        )


def exported(directory: Path) -> list[dict[str, Any]]:
    """All events of the files, in the order of their ids."""
    rows: list[dict[str, Any]] = ds.dataset(directory, partitioning="hive").to_table().to_pylist()
    return sorted(rows, key=lambda row: int(row["event_id"][1:]))


async def test_each_event_of_the_days_is_exported_once_and_as_it_was_sent(
    ingest: Ingest, log: LogDays, tmp_path: Path
) -> None:
    await fill(ingest, each_day=3)
    with ParquetDays.open(tmp_path) as days:
        assert await export_log(log=log, days=days, first=FIRST, last=LAST) == Exported(days=3, events=9)
    rows = exported(tmp_path)
    assert [row["event_id"] for row in rows] == [f"e{number}" for number in range(2, 11)]
    assert [str(row["received_on"]) for row in rows] == [str(FIRST)] * 3 + ["2026-11-21"] * 3 + [str(LAST)] * 3
    row = rows[0]
    assert (row["type"], row["campaign_id"], row["creative_id"], row["user_id"]) == ("click", "camp_1", None, "u")
    assert row["identifiers"] == [{"type": "user_id", "value": "u"}, {"type": "email", "value": "a@b.c"}]
    assert json.loads(row["metadata"]) == {"n": 1.5, "ü": None}
    assert row["received_at"] == datetime(2026, 11, 20, tzinfo=UTC)
    manifest = json.loads((tmp_path / "_manifest.json").read_text())["days"]
    assert {day: told["events"] for day, told in manifest.items()} == dict.fromkeys(
        ["2026-11-20", "2026-11-21", "2026-11-22"], 3
    )


async def test_an_export_that_was_cut_off_goes_on_where_it_was(
    ingest: Ingest, log: LogDays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ingest, each_day=3)
    with ParquetDays.open(tmp_path) as days, monkeypatch.context() as broken:
        written: list[int] = []

        def fail_on_the_second_day(writer: parquet_days.DayWriter, rows: list[Any]) -> None:
            written.append(len(rows))
            if len(written) == 2:
                raise OSError("no space left on device")
            add(writer, rows)

        add = parquet_days.DayWriter.add
        broken.setattr(parquet_days.DayWriter, "add", fail_on_the_second_day)
        with pytest.raises(OSError, match="no space left"):
            await export_log(log=log, days=days, first=FIRST, last=LAST)
    assert len(exported(tmp_path)) == 3
    assert list(json.loads((tmp_path / "_manifest.json").read_text())["days"]) == ["2026-11-20"]
    first = (tmp_path / "received_on=2026-11-20" / "events.parquet").stat()
    with ParquetDays.open(tmp_path) as days:
        assert await export_log(log=log, days=days, first=FIRST, last=LAST) == Exported(days=2, events=6, skipped=1)
    assert (tmp_path / "received_on=2026-11-20" / "events.parquet").stat().st_mtime_ns == first.st_mtime_ns
    assert len(exported(tmp_path)) == 9


async def test_a_file_that_is_gone_or_cut_is_written_again(ingest: Ingest, log: LogDays, tmp_path: Path) -> None:
    await fill(ingest, each_day=2)
    with ParquetDays.open(tmp_path) as days:
        await export_log(log=log, days=days, first=FIRST, last=LAST)
    (tmp_path / "received_on=2026-11-20" / "events.parquet").unlink()
    (tmp_path / "received_on=2026-11-21" / "events.parquet").write_bytes(b"PAR1")
    with ParquetDays.open(tmp_path) as days:
        assert await export_log(log=log, days=days, first=FIRST, last=LAST) == Exported(days=2, events=4, skipped=1)
    assert len(exported(tmp_path)) == 6


async def test_a_long_day_is_written_in_row_groups_and_an_empty_one_is_a_file(
    ingest: Ingest, log: LogDays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_days, "_ROWS_A_GROUP", 1_000)
    await fill(ingest, each_day=1_200)
    with ParquetDays.open(tmp_path) as days:
        done = await export_log(log=log, days=days, first=FIRST - timedelta(days=2), last=FIRST)
    assert (done.days, done.events) == (3, 1_201)
    long = pq.ParquetFile(tmp_path / "received_on=2026-11-20" / "events.parquet")
    assert [long.metadata.row_group(number).num_rows for number in range(long.num_row_groups)] == [1_000, 200]
    assert pq.ParquetFile(tmp_path / "received_on=2026-11-18" / "events.parquet").metadata.num_rows == 0


def test_one_export_at_a_time_writes_into_a_directory(tmp_path: Path) -> None:
    with ParquetDays.open(tmp_path), pytest.raises(ExportBusyError), ParquetDays.open(tmp_path):
        pass


async def test_the_command_exports_and_says_how_much(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(ingest, each_day=2)
    monkeypatch.setenv("DMP_INGEST_DATABASE_URL", ingest.database_url)
    await log_commands.export({"directory": str(tmp_path / "new" / "folder"), "from": "2026-11-20", "to": "2026-11-22"})
    assert json.loads(capsys.readouterr().out) == {"days": 3, "events": 6, "skipped": 0}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"directory": ""}, "--directory is required"),
        ({"from": "20261120"}, "--from must be a day such as"),
        ({"from": "2026-02-30"}, "--from must be a day such as"),
        ({"to": "2026-11-28"}, "--to must not be after 2026-11-27"),
        ({"to": "2026-11-19"}, "--from must not be after 2026-11-19"),
    ],
)
def test_what_cannot_be_exported_is_refused(given: dict[str, str], problem: str) -> None:
    options = {"directory": "d", "from": "2026-11-20", **given}
    with pytest.raises(SettingsError) as raised:
        read_export_settings({"DMP_INGEST_DATABASE_URL": "postgresql://x"}, options, last_whole=date(2026, 11, 27))
    assert any(line.startswith(problem) for line in raised.value.problems), raised.value.problems


def test_a_day_is_whole_ten_minutes_after_its_end() -> None:
    midnight = datetime(2026, 11, 28, tzinfo=UTC)
    assert last_whole_day(midnight + timedelta(minutes=9)) == date(2026, 11, 26)
    assert last_whole_day(midnight + timedelta(minutes=10)) == date(2026, 11, 27)
