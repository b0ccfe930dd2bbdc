"""`python -m dmp_ingest serve|migrate|hand-over|export`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dmp_chassis.entry import Command, main

if TYPE_CHECKING:
    from dmp_chassis.service import AnyService


def service() -> AnyService:
    """The definition, which loads everything."""
    from dmp_ingest.app import SERVICE

    return SERVICE


async def hand_over(given: Mapping[str, str]) -> None:
    """Puts batches of the log back into the outbox. Raises SettingsError."""
    from dmp_ingest.log_commands import hand_over as put_back

    await put_back(given)


async def export(given: Mapping[str, str]) -> None:
    """Writes days of the log as Parquet. Raises SettingsError."""
    from dmp_ingest.log_commands import export as write_days

    await write_days(given)


if __name__ == "__main__":
    main(
        "ingest",
        service=service,
        commands={
            "export": Command(
                help="write the log as Parquet, one file for each day on which events were received",
                run=export,
                options={
                    "directory": "where the files go; days that are there are left alone",
                    "from": "the first day, such as 2026-11-27, in UTC",
                    "to": "the last day; default: yesterday",
                },
            ),
            "hand-over": Command(
                help="hand over again what the log has, to a service whose database was restored to an earlier moment",
                run=hand_over,
                options={
                    "consumer": "identity, stats or both",
                    "from": "a moment before that to which it was restored, such as 2026-11-22T12:00:00Z",
                    "to": "the end; default: now",
                    "inbox-days": "its DMP_IDENTITY_INBOX_RETENTION_DAYS or DMP_STATS_...; default: 30",
                },
            ),
        },
    )
