"""Exports the log as Parquet, one file for each day on which events were received. Days that are there are left alone,
so an export that was cut off goes on where it was."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dmp_ingest.adapters.log_days import LogDays

if TYPE_CHECKING:  # loads pyarrow, which only an export needs
    from dmp_ingest.adapters.parquet_days import ParquetDays

SETTLED: Final = timedelta(minutes=10)
"""After so long no event of a day is still being committed, whatever the clocks of the replicas say."""


@dataclass(slots=True, kw_only=True)
class Exported:
    """What an export has done."""

    days: int = 0
    """Days that were written; days that were there are `skipped`."""
    events: int = 0
    skipped: int = 0


def last_whole_day(now: datetime) -> date:
    """The last day of which nothing is still being stored."""
    return (now - SETTLED).astimezone(UTC).date() - timedelta(days=1)


async def export_log(*, log: LogDays, days: ParquetDays, first: date, last: date) -> Exported:
    """Writes the days from `first` to `last`, both included, that are not there yet.

    One day after another, each from one state of the log; memory has a bound. Raises what the database and the files
    raise; the days before that are there.
    """
    done = Exported()
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if days.has(day):
            done.skipped += 1
            continue
        with days.write(day) as writer:
            async with aclosing(log.read(day)) as parts:
                async for rows in parts:
                    writer.add(rows)
        done.days += 1
        done.events += writer.events
    return done
