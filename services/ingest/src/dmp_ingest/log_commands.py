"""The commands that work on the log beside the service: `python -m dmp_ingest hand-over`, and `export`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from dmp_chassis.database import Database
from dmp_chassis.logging import configure
from dmp_chassis.settings import SettingsError
from dmp_ingest.adapters.log_batches import LogBatches
from dmp_ingest.adapters.log_days import LogDays
from dmp_ingest.export_log import export_log, last_whole_day
from dmp_ingest.hand_over_again import hand_over_again
from dmp_ingest.settings import read_export_settings, read_hand_over_settings


async def hand_over(given: Mapping[str, str]) -> None:
    """`python -m dmp_ingest hand-over --consumer NAME --from TIME`; prints as JSON how much it was. Raises
    SettingsError, and what the database raises.
    """
    settings = read_hand_over_settings(os.environ, given, now_us=time.time_ns() // 1000)
    configure(settings.log_level, "ingest")
    database = Database.connect(
        settings.database_url, pool_size=2, application_name="ingest hand-over", statement_timeout_seconds=0
    )
    try:
        log = LogBatches(database, counts_as=settings.policy.counts_as)
        done = await hand_over_again(log=log, to=settings.consumers, first_us=settings.first_us, end_us=settings.end_us)
        print(msgspec.json.encode(done).decode())
    finally:
        await database.close()


async def export(given: Mapping[str, str]) -> None:
    """`python -m dmp_ingest export --directory DIR --from DAY`; prints as JSON how much it was. Raises SettingsError,
    ExportBusyError, and what the database and the files raise.
    """
    settings = read_export_settings(os.environ, given, last_whole=last_whole_day(datetime.now(UTC)))
    try:
        from dmp_ingest.adapters.parquet_days import ParquetDays
    except ImportError:
        raise SettingsError(["pyarrow is missing: pip install 'dmp-ingest[export]'"]) from None
    configure(settings.log_level, "ingest")
    database = Database.connect(
        settings.database_url, pool_size=1, application_name="ingest export", statement_timeout_seconds=0
    )
    try:
        with ParquetDays.open(settings.directory) as days:
            done = await export_log(log=LogDays(database), days=days, first=settings.first, last=settings.last)
        print(msgspec.json.encode(done).decode())
    finally:
        await database.close()
