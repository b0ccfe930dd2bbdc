"""`python -m dmp_stats serve|migrate|reset-reference-clock`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dmp_chassis.entry import Command, main
from dmp_chassis.migrations import migrate
from dmp_stats.settings import migration_url_from_env

_MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "migrations"


def migrate_database() -> None:
    """Brings the schema up to date. Raises SettingsError."""
    migrate(migration_url_from_env(os.environ), _MIGRATIONS)


async def serve() -> None:
    """Serves until told to stop. Only now is loaded what migrating does not need, which is nearly all."""
    from dmp_stats.app import serve as serve_until_told

    await serve_until_told()


async def reset_clock(flags: frozenset[str]) -> None:
    """Resets the clock of the reference table. Raises SettingsError."""
    from dmp_stats.app import reset_clock_of_reference

    await reset_clock_of_reference()


if __name__ == "__main__":
    main(
        "stats",
        serve=serve,
        migrate=migrate_database,
        others={
            "reset-reference-clock": Command(
                help="give the reference table in place the time 1970-01-01: any table is accepted next",
                run=reset_clock,
            )
        },
    )
