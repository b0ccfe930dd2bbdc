"""The stack's PostgreSQL loses nothing that was committed and lets nobody into another's database."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from dmp_stack.child import Child
from dmp_stack.errors import StackError
from dmp_stack.postgres import PostgresServer
from dmp_stack.run_directory import create_run_directory
from tests.conditions import wait_until
from tests.stack.conftest import Keep, durable_server

RunningPostgres = tuple[PostgresServer, Child]


@pytest.fixture(scope="module")
def running_postgres() -> Iterator[RunningPostgres]:
    """One for all tests that leave it as it was but for databases of their own."""
    directory = create_run_directory()
    server = durable_server(directory.path)
    server.prepare()
    child = Child(server.child_spec(), print)
    child.start()
    server.wait_ready(child)
    yield server, child
    child.close(10)
    directory.remove()


def test_commits_wait_for_the_disk(running_postgres: RunningPostgres) -> None:
    server, _ = running_postgres
    names = ("fsync", "synchronous_commit", "full_page_writes")
    with server.connect() as connection:
        settings = [connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
    assert settings == [("on",), ("on",), ("on",)]


def test_what_was_committed_survives_the_death_of_the_server(durable_postgres: PostgresServer, keep: Keep) -> None:
    durable_postgres.prepare()
    child = keep(durable_postgres.child_spec())
    durable_postgres.wait_ready(child)
    with durable_postgres.connect() as connection:
        connection.execute("CREATE TABLE thing AS SELECT generate_series(1, 1000) AS id")
    child.kill()
    wait_until(lambda: child.starts > 1, "restarted")
    durable_postgres.wait_ready(child)
    with durable_postgres.connect() as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (1000,)


def test_it_does_not_run_as_root(running_postgres: RunningPostgres) -> None:
    _, child = running_postgres
    user = pwd.getpwuid(psutil.Process(child.pid).uids().effective).pw_name
    assert user == ("embedded_postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


def test_a_role_needs_its_password_and_reaches_its_own_database_only(running_postgres: RunningPostgres) -> None:
    server, _ = running_postgres
    server.provision("one", role="role_one", password="secret of one")
    server.provision("two", role="role_two", password="secret of two")
    with psycopg.connect(server.url("one", role="role_one", password="secret of one")) as connection:
        connection.execute("CREATE TABLE mine (id int)")
    for role, password, database in [
        ("role_one", "wrong", "one"),
        ("role_one", None, "one"),
        ("role_one", "secret of one", "two"),
        ("role_one", "secret of one", "postgres"),
        ("role_one", "secret of one", "template1"),
    ]:
        with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password|permission denied"):
            psycopg.connect(server.url(database, role=role, password=password))


def test_provisioning_again_changes_nothing_but_the_password(running_postgres: RunningPostgres) -> None:
    server, _ = running_postgres
    server.provision("again", role="role_again", password="first")
    with psycopg.connect(server.url("again", role="role_again", password="first")) as connection:
        connection.execute("CREATE TABLE mine (id int)")
    server.provision("again", role="role_again", password="second")
    with psycopg.connect(server.url("again", role="role_again", password="second")) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_an_interrupted_first_start_is_begun_again(
    durable_postgres: PostgresServer, run_path: Path, keep: Keep
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        durable_postgres.prepare(pause=interrupt)
    assert not (run_path / "data" / "postgres" / "PG_VERSION").exists()
    durable_postgres.prepare()
    durable_postgres.wait_ready(keep(durable_postgres.child_spec()))


def test_a_seed_is_copied_at_the_first_start_and_stays_as_it_is(
    run_path: Path, postgres_seed: Path, keep: Keep
) -> None:
    def files_of_the_seed() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in postgres_seed.rglob("*")}

    before, found = files_of_the_seed(), []
    for _ in range(2):
        server = durable_server(run_path, seed=postgres_seed)
        server.prepare()
        child = keep(server.child_spec())
        server.wait_ready(child)
        with server.connect() as connection:
            databases = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
        found.append({name for (name,) in databases})
        server.provision("own", role="own", password=None)
        assert child.stop(10)
    assert found[0] == {"postgres", "dmp_ingest", "dmp_identity", "dmp_stats"}
    assert found[1] == found[0] | {"own"}
    assert files_of_the_seed() == before


def test_a_seed_that_is_not_there_is_an_error_that_says_so(run_path: Path) -> None:
    with pytest.raises(StackError, match="cp could not make the database cluster"):
        durable_server(run_path, seed=run_path / "nowhere").prepare()
    assert not (run_path / "data" / "postgres").exists()


def test_a_cluster_that_cannot_start_is_an_error_that_says_why(
    durable_postgres: PostgresServer, run_path: Path, keep: Keep
) -> None:
    durable_postgres.prepare()
    (run_path / "data" / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(StackError, match="incompatible"):
        durable_postgres.wait_ready(keep(durable_postgres.child_spec()))


def test_an_orphan_ends_with_all_its_processes(durable_postgres: PostgresServer, keep: Keep) -> None:
    durable_postgres.prepare()
    child = keep(durable_postgres.child_spec())
    durable_postgres.wait_ready(child)
    family = psutil.Process(child.pid).children(recursive=True)
    assert family
    child.request_stop(number=signal.Signals(durable_postgres.child_spec().orphan_signal))
    assert child.wait_stopped(5)
    assert psutil.wait_procs(family, timeout=5)[1] == []
