"""Migrations: once, in a queue, with patience for the database and none for locks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy.exc

from dmp_chassis.migrations import _ADVISORY_KEY, migrate
from tests.servers import PostgresFixture

ENVIRONMENT = """\
import sqlalchemy as sa
from dmp_chassis.migrations import run_environment
run_environment(sa.MetaData())
"""


def revision(directory: Path, number: int, *statements: str) -> None:
    """Adds a revision that runs these statements."""
    parent = repr(f"{number - 1:04d}") if number > 1 else "None"
    lines = [
        f'"""Step {number}."""',
        "from alembic import op",
        f'revision = "{number:04d}"',
        f"down_revision: str | None = {parent}",
        "def upgrade() -> None:",
        *(f"    op.execute({statement!r})" for statement in statements),
    ]
    path = directory / "versions" / f"{number:04d}_step.py"
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A migrations directory with two revisions."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT, encoding="utf-8")
    revision(tmp_path, 1, "CREATE TABLE thing (id int PRIMARY KEY)")
    revision(tmp_path, 2, "INSERT INTO thing VALUES (1)")
    return tmp_path


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def applied(url: str) -> list[tuple[object, ...]]:
    return rows(url, "SELECT version_num FROM alembic_version")


def test_revisions_are_applied_once_and_in_order(database_url: str, directory: Path) -> None:
    migrate(database_url, directory)
    migrate(database_url, str(directory))
    assert rows(database_url, "SELECT id FROM thing") == [(1,)]
    revision(directory, 3, "INSERT INTO thing VALUES (2)")
    migrate(database_url, directory)
    assert rows(database_url, "SELECT id FROM thing ORDER BY id") == [(1,), (2,)]
    assert applied(database_url) == [("0003",)]


def test_nothing_to_do_costs_no_import_of_alembic(database_url: str, directory: Path) -> None:
    migrate(database_url, directory)
    program = (
        "import sys; from dmp_chassis.migrations import migrate; migrate(sys.argv[1], sys.argv[2]); "
        "sys.exit(any(name in sys.modules for name in ('alembic', 'sqlalchemy')))"
    )
    subprocess.run([sys.executable, "-c", program, database_url, str(directory)], check=True)


def test_parallel_migrators_queue_up(database_url: str, directory: Path) -> None:
    revision(directory, 3, "SELECT pg_advisory_xact_lock(42)", "INSERT INTO thing VALUES (3)")
    program = "import sys; from dmp_chassis.migrations import migrate; migrate(sys.argv[1], sys.argv[2])"
    command = [sys.executable, "-c", program, database_url, str(directory)]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(42)")
        processes = [subprocess.Popen(command) for _ in range(3)]
        deadline = time.monotonic() + 60
        while connection.execute(waiting).fetchone() != (3,):
            assert time.monotonic() < deadline
            assert [process.poll() for process in processes] == [None] * 3
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert rows(database_url, "SELECT id FROM thing ORDER BY id") == [(1,), (3,)]


def test_nothing_to_do_does_not_wait_for_another_migrator(database_url: str, directory: Path) -> None:
    migrate(database_url, directory)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_KEY,))
        migrate(database_url, directory, wait_seconds=0.2)


def test_a_migrator_waits_for_the_database_to_come_up(postgres: PostgresFixture, directory: Path) -> None:
    url = postgres.url("comes_up_later")
    failures: list[BaseException] = []

    def run() -> None:
        try:
            migrate(url, directory, wait_seconds=30)
        except BaseException as error:  # noqa: BLE001 -- judged below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    postgres.create_database("comes_up_later")
    thread.join(30)
    assert not thread.is_alive()
    assert failures == []
    assert applied(url) == [("0002",)]
    postgres.drop_database("comes_up_later")


def test_the_wait_for_the_database_has_an_end(tmp_path: Path, directory: Path) -> None:
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        migrate(f"postgresql:///x?host={tmp_path}", directory, wait_seconds=0.5)
    assert time.monotonic() - started < 10


def test_a_locked_table_holds_a_migration_up_without_holding_up_others(database_url: str, directory: Path) -> None:
    """While the migration waits for its lock, queries on the table queue behind it: so it waits briefly, and again."""
    migrate(database_url, directory)
    revision(directory, 3, "ALTER TABLE thing ADD COLUMN note text")
    finished = threading.Event()

    def run() -> None:
        migrate(database_url, directory, lock_timeout_seconds=0.1, wait_seconds=30)
        finished.set()

    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT * FROM thing")
        thread = threading.Thread(target=run)
        thread.start()
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SET statement_timeout = '5s'")
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                other.execute("SELECT * FROM thing")
        assert not finished.is_set()
    thread.join(30)
    assert finished.is_set()
    assert applied(database_url) == [("0003",)]


def test_a_lock_that_is_never_released_ends_the_migration(database_url: str, directory: Path) -> None:
    migrate(database_url, directory)
    revision(directory, 3, "ALTER TABLE thing ADD COLUMN note text")
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT * FROM thing")
        with pytest.raises(sqlalchemy.exc.OperationalError, match="lock timeout"):
            migrate(database_url, directory, lock_timeout_seconds=0.05, wait_seconds=0.3)
    assert applied(database_url) == [("0002",)]


def test_a_statement_that_takes_too_long_ends_the_migration(database_url: str, directory: Path) -> None:
    revision(directory, 3, "SELECT pg_sleep(20)")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="statement timeout"):
        migrate(database_url, directory, statement_timeout_seconds=0.3)


def test_a_failed_revision_leaves_nothing_behind_and_the_ones_before_it_in_place(
    database_url: str, directory: Path
) -> None:
    revision(directory, 3, "INSERT INTO thing VALUES (3)", "SELECT 1/0")
    with pytest.raises(sqlalchemy.exc.DataError):
        migrate(database_url, directory)
    assert applied(database_url) == [("0002",)]
    assert rows(database_url, "SELECT id FROM thing") == [(1,)]


def test_a_schema_that_is_newer_than_the_service_is_left_alone(database_url: str, directory: Path) -> None:
    revision(directory, 3, "INSERT INTO thing VALUES (3)")
    migrate(database_url, directory)
    (directory / "versions" / "0003_step.py").unlink()
    migrate(database_url, directory)
    assert applied(database_url) == [("0003",)]


def test_a_directory_without_revisions_is_a_mistake(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        migrate(database_url, tmp_path)
