"""Brings a database's schema up to date with Alembic: parallel migrators queue up, every wait has an end.

A service's `migrations/env.py` is:

    from dmp_<context>.adapters.tables import METADATA
    from dmp_chassis.migrations import run_environment
    run_environment(METADATA)
"""

from __future__ import annotations

import ast
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg

from dmp_chassis.citus import refuse_worker_connection

if TYPE_CHECKING:
    import sqlalchemy as sa

_LOG: Final = logging.getLogger(__name__)
_ADVISORY_KEY: Final = 0x646D705F6D696772
_LOCK_NOT_AVAILABLE: Final = "55P03"

_Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


def migrate(
    url: str,
    script_location: str | Path,
    *,
    wait_seconds: float = 60.0,
    lock_timeout_seconds: float = 5.0,
    statement_timeout_seconds: float = 300.0,
) -> None:
    """Applies the revisions of the directory `script_location` that the database at `url` does not have yet.

    Waits up to `wait_seconds` for the database to accept connections and for another migrator to finish. Each revision
    is one transaction. A statement that does not get its table lock within `lock_timeout_seconds` fails rather than
    hold up the service, and the upgrade is tried again until `wait_seconds` are over. When there is nothing to do it
    costs one query, and Alembic is not loaded. A schema that is newer than the directory, as after a service has been
    rolled back, is left alone.
    """
    deadline = time.monotonic() + wait_seconds
    directory = Path(script_location)
    revisions, heads = _revisions_and_heads(directory)
    with _connect(url, deadline) as connection:
        refuse_worker_connection(connection)
        applied = _applied(connection)
        if applied == heads:
            _LOG.info("the schema is up to date")
            return
        if applied - revisions:
            _LOG.warning("the schema is newer than this version of the service", extra={"revisions": sorted(applied)})
            return
        left = max(1, round((deadline - time.monotonic()) * 1000))
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(left),))
        connection.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_KEY,))
        if _applied(connection) != heads:
            _upgrade(url, directory, deadline, lock_timeout_seconds, statement_timeout_seconds)
        _LOG.info("the schema has been brought up to date", extra={"revisions": sorted(heads)})


def run_environment(target_metadata: sa.MetaData) -> None:
    """The body of `migrations/env.py`: runs the revisions, each in a transaction of its own.

    Over the connection that `migrate` provides, or with Alembic's own command line over one to `sqlalchemy.url`.
    """
    import sqlalchemy as sa
    from alembic import context

    def run(connection: sa.Connection) -> None:
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            transaction_per_migration=True,
            compare_type=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()

    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise RuntimeError("sqlalchemy.url is not set")
    with sa.create_engine(_driver_url(url), poolclass=sa.NullPool).connect() as connection:
        run(connection)


def _connect(url: str, deadline: float) -> _Connection:
    told = False
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=3, application_name="migrate")
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise
            if not told:
                told = True
                _LOG.warning("waiting for the database", extra={"error": str(error)})
        time.sleep(0.2)  # between two attempts: no server tells when it begins to answer


def _applied(connection: _Connection) -> set[str]:
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return set()
    return {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}


def _revisions_and_heads(directory: Path) -> tuple[set[str], set[str]]:
    """All revisions, and those without a successor, read from the files without running them."""
    revisions: set[str] = set()
    parents: set[str] = set()
    for path in sorted((directory / "versions").glob("*.py")):
        names = _assignments(ast.parse(path.read_text(encoding="utf-8")))
        revisions.add(names["revision"])
        parent = names.get("down_revision")
        parents.update((parent,) if isinstance(parent, str) else parent or ())
    if not revisions:
        raise FileNotFoundError(f"there are no revisions in {directory / 'versions'}")
    return revisions, revisions - parents


def _assignments(module: ast.Module) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in {"revision", "down_revision"}:
                names[target.id] = ast.literal_eval(statement.value)  # type: ignore[attr-defined]  # an assignment
    return names


def _upgrade(
    url: str, directory: Path, deadline: float, lock_timeout_seconds: float, statement_timeout_seconds: float
) -> None:
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    limits = {"lock_timeout": lock_timeout_seconds, "statement_timeout": statement_timeout_seconds}
    options = " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in limits.items())
    engine = sa.create_engine(
        _driver_url(url), poolclass=sa.NullPool, connect_args={"application_name": "migrate", "options": options}
    )
    config = Config()
    config.set_main_option("script_location", str(directory.resolve()).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    while True:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE or time.monotonic() > deadline:
                    raise
                _LOG.warning("somebody else holds a lock on a table; trying again")
            else:
                return
        time.sleep(0.5)  # lets those go first who wait behind us for the table


def _driver_url(url: str) -> str:
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)
