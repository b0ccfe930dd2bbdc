"""Real servers: one PostgreSQL and one Valkey for the session, a fresh database and an empty Redis for each test.

The session's PostgreSQL does not wait for the disk, because nobody reads its data after a crash; the rest is as in
production. Whole systems begin with a copy of databases that were made once: making them is half of a first start.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dmp_stack.child import Child
from dmp_stack.postgres import PostgresOptions, PostgresServer
from dmp_stack.run_directory import (
    MARKER_VARIABLE,
    RunDirectory,
    create_run_directory,
    sweep_stale_run_directories,
)
from dmp_stack.settings import CONTEXTS, StackSettings
from dmp_stack.stack import Stack
from dmp_stack.stores import role_of
from dmp_stack.valkey import ValkeyServer
from tests.named_stores import empty_database, empty_redis, named_database, named_databases, named_redis


class PostgresFixture:
    """The session's PostgreSQL: databases by name, copies of migrated templates in tens of milliseconds."""

    def __init__(self, server: PostgresServer, child: Child) -> None:
        self.server = server
        self.child = child
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()

    def url(self, database: str, role: str = "postgres") -> str:
        """Connects as `role`, by default the superuser; no password is asked."""
        return self.server.url(database, role=role)

    def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> str:
        """Makes a database, a copy of `template` if given, and returns its superuser URL."""
        self.server.create_database(name, template=template, owner=owner)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drops it, whoever is connected."""
        self.server.drop_database(name)

    def migrated_clone(self, context: str) -> tuple[str, str]:
        """A fresh database with the migrated schema of `context`, owned by its role: its name, and that role's URL."""
        role = f"dmp_{context}"
        template = f"{role}_template"
        if template not in self._templates:
            self.server.provision(template, role=role, password=None)
            _migrate(context, self.url(template, role))
            self._templates.add(template)
        name = f"{role}_{next(self._numbers)}"
        self.server.create_database(name, template=template, owner=role)
        return name, self.url(name, role)


def _migrate(context: str, url: str) -> None:
    _end_migration(context, _begin_migration(context, url))


def _begin_migration(context: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"dmp_{context}", "migrate"],
        env={**os.environ, f"DMP_{context.upper()}_DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _end_migration(context: str, migration: subprocess.Popen[str]) -> None:
    said, _ = migration.communicate()
    if migration.returncode != 0:
        raise RuntimeError(f"dmp_{context} migrate failed:\n{said}")


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A directory with a short path for the session's servers; gone at the end."""
    sweep_stale_run_directories()
    directory: RunDirectory = create_run_directory()
    yield directory.path
    directory.remove()


@pytest.fixture(scope="session")
def server_environment(server_directory: Path) -> dict[str, str]:
    """The environment of the session's servers; it marks them as belonging to this session."""
    return {**os.environ, MARKER_VARIABLE: str(server_directory)}


@pytest.fixture(scope="session")
def postgres(server_directory: Path, server_environment: dict[str, str]) -> Iterator[PostgresFixture]:
    """One PostgreSQL for the whole session."""
    server = PostgresServer(
        data_directory=server_directory / "postgres",
        socket_directory=server_directory / "pg",
        log_path=server_directory / "postgres.log",
        options=PostgresOptions(shared_buffers_mebibytes=64, durable=False, kept=False, trusted=True),
        environment=server_environment,
    )
    with _running_postgres(server) as child:
        yield PostgresFixture(server, child)


@contextmanager
def _running_postgres(server: PostgresServer) -> Iterator[Child]:
    server.prepare()
    child = Child(server.child_spec(), report=print)
    child.start()
    try:
        server.wait_ready(child)
        yield child
    finally:
        child.close(30)


@pytest.fixture(scope="session")
def postgres_seed(server_directory: Path, server_environment: dict[str, str]) -> Path:
    """The data directory of a stopped PostgreSQL that has the services' databases, migrated and empty."""
    path = server_directory / "seed"
    server = PostgresServer(
        data_directory=path,
        socket_directory=server_directory / "seed-pg",
        log_path=server_directory / "seed.log",
        options=PostgresOptions(shared_buffers_mebibytes=64, durable=False, trusted=True),
        environment=server_environment,
    )
    with _running_postgres(server):
        roles = {context: role_of(context) for context in CONTEXTS}
        for role in roles.values():
            server.provision(role, role=role, password=None)
        migrations = {
            context: _begin_migration(context, server.url(role, role=role)) for context, role in roles.items()
        }
        for context, migration in migrations.items():
            _end_migration(context, migration)
    return path


@pytest.fixture(scope="session")
def new_stack(request: pytest.FixtureRequest) -> Callable[..., Stack]:
    """Makes systems on free ports, which begin with empty databases. Takes fields of `StackSettings`, and `report`.

    They are not started. Their data goes with them unless they are told where to keep it.
    """

    def make(*, report: Callable[[str], None] = print, **settings: Any) -> Stack:  # noqa: ANN401 -- fields
        chosen = {"http_port": 0, "data_directory": None, **_stores(request), **settings}
        return Stack(StackSettings(**chosen), report=report)

    return make


def _stores(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The fields of `StackSettings` that say where a system keeps its data."""
    if not (urls := named_databases()):
        return {"postgres_seed": request.getfixturevalue("postgres_seed")}
    for url in urls.values():
        empty_database(url)
    return {"database_urls": urls, "redis_url": named_redis()}


def _context_database_url(request: pytest.FixtureRequest, context: str) -> Iterator[str]:
    if (named := named_database(context)) is not None:
        empty_database(named)
        yield named
        return
    postgres: PostgresFixture = request.getfixturevalue("postgres")
    name, url = postgres.migrated_clone(context)
    yield url
    postgres.drop_database(name)


@pytest.fixture
def ingest_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh, migrated ingest database, for its own role."""
    yield from _context_database_url(request, "ingest")


@pytest.fixture
def identity_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh, migrated identity database, for its own role."""
    yield from _context_database_url(request, "identity")


@pytest.fixture
def stats_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh, migrated stats database, for its own role."""
    yield from _context_database_url(request, "stats")


@contextmanager
def running_valkey(
    name: str, directory: Path, environment: dict[str, str], *, persistent: bool = False
) -> Iterator[tuple[ValkeyServer, Child]]:
    """A Valkey that runs while the block does: the server and its process."""
    server = ValkeyServer(
        data_directory=directory / name,
        socket_path=directory / f"{name}.sock",
        log_path=directory / f"{name}.log",
        environment=environment,
        persistent=persistent,
    )
    server.prepare()
    child = Child(server.child_spec(), report=print)
    child.start()
    try:
        server.wait_ready(child)
        yield server, child
    finally:
        child.close(5)


@pytest.fixture(scope="session")
def valkey(server_directory: Path, server_environment: dict[str, str]) -> Iterator[tuple[ValkeyServer, Child]]:
    """One Valkey for the whole session: the server and its process."""
    with running_valkey("valkey", server_directory, server_environment) as running:
        yield running


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The session's Valkey, empty."""
    url = named_redis() or request.getfixturevalue("valkey")[0].url
    empty_redis(url)
    return url


@pytest.fixture(scope="session")
def stack(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """The whole system as `make run` starts it, on free ports and with data of its own that goes with it."""
    with new_stack() as running:
        yield running
