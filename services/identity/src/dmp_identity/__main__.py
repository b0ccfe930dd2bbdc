"""`python -m dmp_identity serve|migrate|renormalise`."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from dmp_chassis.entry import Command, main
from dmp_chassis.migrations import migrate
from dmp_identity.settings import database_url_from_env


def migrate_database() -> None:
    """Brings the schema up to date. Raises SettingsError."""
    with resources.as_file(resources.files("dmp_identity") / "migrations") as directory:
        migrate(database_url_from_env(os.environ), Path(directory))


async def serve() -> None:
    """Serves until told to stop. Only now is loaded what migrating does not need, which is nearly all."""
    from dmp_identity.app import serve as serve_until_told

    await serve_until_told()


async def renormalise(flags: frozenset[str]) -> None:
    """Reads stored values again by the policy's rules, or says what that would change."""
    from dmp_identity.app import renormalise as read_values_again

    await read_values_again(dry_run="dry-run" in flags)


if __name__ == "__main__":
    main(
        "identity",
        serve=serve,
        migrate=migrate_database,
        others={
            "renormalise": Command(
                help="read stored values again by the policy's rules, while the service runs, and exit",
                run=renormalise,
                flags={"dry-run": "only say what it would merge or split, and put that on the review list"},
            )
        },
    )
