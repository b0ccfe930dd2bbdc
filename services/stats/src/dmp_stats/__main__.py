"""`python -m dmp_stats serve|migrate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dmp_chassis.entry import main
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


if __name__ == "__main__":
    main("stats", serve=serve, migrate=migrate_database)
