"""A later start ends what a killed launcher left behind, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmp_stack.data_directory import open_data_directory
from dmp_stack.run_directory import (
    MARKER_VARIABLE,
    create_run_directory,
    end_leftovers,
    sweep_stale_run_directories,
)
from tests.conditions import is_gone


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def start_for(run_directory: Path, sleepers: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["/bin/sleep", "1000"], env={**os.environ, MARKER_VARIABLE: str(run_directory)})
    sleepers.append(process)
    return process


def test_leftovers_of_one_run_end_and_those_of_another_stay(
    sleepers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    mine = start_for(tmp_path / "mine", sleepers)
    other = start_for(tmp_path / "other", sleepers)
    end_leftovers(tmp_path / "mine")
    assert is_gone(mine.pid)
    assert not is_gone(other.pid)


def test_a_leftover_that_ignores_the_request_is_killed(
    sleepers: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmp_stack.run_directory.LEFTOVER_TIMEOUT_SECONDS", 4.0)
    deaf = subprocess.Popen(
        ["/bin/sh", "-c", "trap '' QUIT; echo deaf; while :; do sleep 0.05; done"],
        env={**os.environ, MARKER_VARIABLE: str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    sleepers.append(deaf)
    assert deaf.stdout is not None
    assert deaf.stdout.readline() == b"deaf\n"
    end_leftovers(tmp_path)
    assert is_gone(deaf.pid)
    deaf.stdout.close()


def test_a_sweep_spares_the_living_and_takes_the_dead(sleepers: list[subprocess.Popen[bytes]], temporary: Path) -> None:
    alive, dead = create_run_directory(), create_run_directory()
    dead.unlock()  # what the kernel does when a launcher is killed
    survivor, leftover = start_for(alive.path, sleepers), start_for(dead.path, sleepers)
    sweep_stale_run_directories()
    assert alive.path.exists()
    assert not dead.path.exists()
    assert not is_gone(survivor.pid)
    assert is_gone(leftover.pid)
    alive.remove()


def test_a_sweep_spares_what_only_looks_alike(temporary: Path) -> None:
    data = open_data_directory(temporary / "dmp-run-data", run_directory=temporary / "run")
    data.release()
    sweep_stale_run_directories()
    assert data.logs.exists()


def test_sockets_get_a_short_path_wherever_temporary_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    run_directory = create_run_directory()
    try:
        assert len(os.fsencode(run_directory.path / "pg" / ".s.PGSQL.5432")) < 100
    finally:
        run_directory.remove()
        shutil.rmtree(deep)
