"""Fixtures of the chassis: a fresh database for each test, and a PostgreSQL of its own for tests that harm one."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
import uvloop

from dmp_stack.child import Child
from dmp_stack.postgres import PostgresOptions, PostgresServer
from tests.servers import PostgresFixture, running_valkey

_NUMBERS = itertools.count(1)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that services run on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def database_url(postgres: PostgresFixture) -> Iterator[str]:
    """A fresh, empty database."""
    name = f"chassis_{next(_NUMBERS)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


class FragilePostgres:
    """A PostgreSQL that a test may stop, restart, kill and freeze."""

    def __init__(self, server: PostgresServer, child: Child) -> None:
        self._server = server
        self._child = child
        self._frozen: list[psutil.Process] = []
        self.url = server.url("postgres")

    def restart(self) -> None:
        """Stops it, which ends every connection, and starts it again."""
        self._child.stop(10)
        self._child.start()
        self._server.wait_ready(self._child)

    def stop(self) -> None:
        """Stops it."""
        self._child.stop(10)

    def start(self) -> None:
        """Starts it again."""
        self._child.start()
        self._server.wait_ready(self._child)

    def kill(self) -> None:
        """Kills it; it recovers."""
        self._child.kill()
        self._server.wait_ready(self._child)

    def freeze(self) -> None:
        """Stops all its processes with SIGSTOP: the socket accepts, and nobody ever answers."""
        assert self._child.pid is not None
        wrapper = psutil.Process(self._child.pid)
        self._frozen = [wrapper, *wrapper.children(recursive=True)]
        for process in self._frozen:
            process.suspend()

    def thaw(self) -> None:
        """Lets its processes go on."""
        for process in self._frozen:
            if process.is_running():
                process.resume()
        self._frozen = []


@pytest.fixture(scope="module")
def fragile_server(server_directory: Path, server_environment: dict[str, str]) -> Iterator[FragilePostgres]:
    """A PostgreSQL of its own for the tests of one module."""
    directory = server_directory / "fragile"
    directory.mkdir()
    directory.chmod(0o755)
    server = PostgresServer(
        data_directory=directory / "data",
        socket_directory=directory / "pg",
        log_path=directory / "postgres.log",
        options=PostgresOptions(shared_buffers_mebibytes=64, durable=False, trusted=True),
        environment=server_environment,
    )
    server.prepare()
    child = Child(server.child_spec(), report=print)
    child.start()
    server.wait_ready(child)
    yield FragilePostgres(server, child)
    child.close(10)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def fragile_postgres(fragile_server: FragilePostgres) -> Iterator[FragilePostgres]:
    """That PostgreSQL, running and thawed at the beginning and at the end of a test."""
    fragile_server.start()
    yield fragile_server
    fragile_server.thaw()
    fragile_server.start()


@pytest.fixture
def fragile_valkey(server_directory: Path, server_environment: dict[str, str]) -> Iterator[tuple[str, Child]]:
    """A Valkey of its own for one test, which may stop, kill and freeze it: its URL and its process."""
    with running_valkey("fragile-valkey", server_directory, server_environment) as (server, child):
        yield server.url, child
