"""A PostgreSQL and a Valkey as the stack runs them: durable, with passwords, on data that outlives them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmp_stack.child import Child, ChildSpec
from dmp_stack.postgres import PostgresOptions, PostgresServer
from dmp_stack.run_directory import MARKER_VARIABLE, create_run_directory
from dmp_stack.valkey import ValkeyServer

Keep = Callable[[ChildSpec], Child]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for this test alone, where temporary files go too.

    Unlike `tmp_path` its path is short enough for sockets, and PostgreSQL may pass through it when we are root: every
    session of pytest takes that right away again from the directory above all `tmp_path`s.
    """
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as path:
        Path(path).chmod(0o711)
        monkeypatch.setattr("tempfile.tempdir", path)
        yield Path(path)


@pytest.fixture
def used_data(temporary: Path, postgres_seed: Path) -> Callable[[str], Path]:
    """Makes data directories by name, in which a stack had databases before, without any data: the next start is
    quick."""

    def make(name: str) -> Path:
        data = temporary / name
        data.mkdir()
        subprocess.run(["/bin/cp", "-a", f"{postgres_seed}/.", str(data / "postgres")], check=True)
        return data

    return make


@pytest.fixture
def run_path() -> Iterator[Path]:
    """A run directory, for sockets."""
    directory = create_run_directory()
    yield directory.path
    directory.remove()


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Starts children and ends them with the test."""
    children: list[Child] = []

    def start(spec: ChildSpec) -> Child:
        child = Child(spec, print)
        children.append(child)
        child.start()
        return child

    yield start
    for child in reversed(children):
        child.close(10)


@pytest.fixture
def durable_postgres(run_path: Path) -> PostgresServer:
    """Not started; its data goes with the test."""
    return durable_server(run_path)


@pytest.fixture
def persistent_valkey(run_path: Path) -> ValkeyServer:
    """Not started; its data goes with the test."""
    return ValkeyServer(
        data_directory=run_path / "data" / "valkey",
        socket_path=run_path / "valkey.sock",
        log_path=run_path / "valkey.log",
        environment={**os.environ, MARKER_VARIABLE: str(run_path)},
        persistent=True,
    )


def durable_server(run_path: Path, *, seed: Path | None = None) -> PostgresServer:
    """PostgreSQL with the options of a stack, but a small cache."""
    return PostgresServer(
        data_directory=run_path / "data" / "postgres",
        socket_directory=run_path / "pg",
        log_path=run_path / "postgres.log",
        options=PostgresOptions(shared_buffers_mebibytes=64, seed=seed),
        environment={**os.environ, MARKER_VARIABLE: str(run_path)},
    )
