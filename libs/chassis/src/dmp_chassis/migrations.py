"""Brings a database's schema up to date with Alembic: parallel migrators queue up, waits are bounded.

A service's `migrations/env.py` is:

    from dmp_<context>.adapters.tables import METADATA
    from dmp_chassis.migrations import run_environment
    run_environment(METADATA)
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from sqlalchemy import MetaData

_LOG: Final = logging.getLogger(__name__)
_ADVISORY_KEY: Final = 0x646D705F6D696772
_REVISION: Final = re.compile(r"""(?m)^revision\s*(?::[^=]+)?=\s*["']([^"']+)["']""")
_DOWN_REVISION: Final = re.compile(r"""(?m)^down_revision\s*(?::[^=]+)?=\s*(.+)$""")


def migrate(
    url: str,
    script_location: str | Path,
    *,
    wait_seconds: float = 60.0,
    lock_timeout_seconds: float = 5.0,
    statement_timeout_seconds: float = 300.0,
) -> None:
    """Applies all revisions of the directory `script_location` that the database at `url` does not have yet.

    Waits up to `wait_seconds` for the database to accept connections and for another migrator to finish. Each revision is one
    transaction; a statement that cannot get its table lock within `lock_timeout_seconds` fails rather than hold up the service,
    and the upgrade is tried again until the wait is over. When nothing is to do it costs one query, and Alembic is not loaded.
    """
    deadline = time.monotonic() + wait_seconds
    directory = Path(script_location)
    with _connect(url, deadline) as connection:
        if _applied(connection) == _heads(directory):
            _LOG.info("schema is up to date")
            return
        connection.execute(f"SET lock_timeout = {max(1, round((deadline - time.monotonic()) * 1000))}")
        connection.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_KEY,))
        if _applied(connection) != _heads(directory):
            _upgrade(url, directory, deadline, lock_timeout_seconds, statement_timeout_seconds)
            _LOG.info("schema upgraded", extra={"revisions": sorted(_heads(directory))})


def run_environment(target_metadata: MetaData) -> None:
    """The body of a service's `migrations/env.py`: runs the revisions over the connection that `migrate` (or Alembic's own command
    line, through `sqlalchemy.url`) provides, one transaction for each revision."""
    from alembic import context
    from sqlalchemy import create_engine, pool

    def run(connection: object) -> None:
        context.configure(
            connection=connection,  # type: ignore[arg-type]  # an attribute of Alembic's untyped configuration
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
    with create_engine(_driver_url(url), poolclass=pool.NullPool).connect() as connection:
        run(connection)


def _connect(url: str, deadline: float) -> psycopg.Connection[tuple[object, ...]]:
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=3, application_name="migrate")
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _applied(connection: psycopg.Connection[tuple[object, ...]]) -> set[str]:
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return set()
    return {str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")}


def _heads(directory: Path) -> set[str]:
    revisions: set[str] = set()
    parents: set[str] = set()
    for source in _sources(directory):
        revision = _REVISION.search(source)
        if revision is not None:
            revisions.add(revision[1])
            parent = _DOWN_REVISION.search(source)
            parents.update(re.findall(r"""["']([^"']+)["']""", parent[1]) if parent is not None else ())
    if not revisions:
        raise FileNotFoundError(f"no revisions in {directory / 'versions'}")
    return revisions - parents


def _sources(directory: Path) -> Iterator[str]:
    for path in sorted((directory / "versions").glob("*.py")):
        yield path.read_text(encoding="utf-8")


def _upgrade(url: str, directory: Path, deadline: float, lock_timeout_seconds: float, statement_timeout_seconds: float) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, pool, text
    from sqlalchemy.exc import OperationalError

    engine = create_engine(_driver_url(url), poolclass=pool.NullPool, connect_args={"application_name": "migrate"})
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    while True:
        with engine.connect() as connection:
            connection.execute(text(f"SET lock_timeout = {round(lock_timeout_seconds * 1000)}"))
            connection.execute(text(f"SET statement_timeout = {round(statement_timeout_seconds * 1000)}"))
            connection.commit()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
                return
            except OperationalError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state != "55P03" or time.monotonic() > deadline:
                    raise
                _LOG.warning("a table is locked by somebody else; trying again")
        time.sleep(0.5)


def _driver_url(url: str) -> str:
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)
