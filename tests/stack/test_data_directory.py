"""What outlives a launcher belongs to one launcher at a time and keeps its secrets."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from dmp_stack.child import open_log
from dmp_stack.data_directory import open_data_directory
from dmp_stack.errors import StackError
from dmp_stack.run_directory import MARKER_VARIABLE
from tests.conditions import is_gone


def test_a_second_launcher_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    first = open_data_directory(tmp_path / "data", run_directory=tmp_path / "run-1")
    with pytest.raises(StackError, match=r"another stack is running on the data directory .*DMP_DATA_DIR"):
        open_data_directory(tmp_path / "data", run_directory=tmp_path / "run-2")
    first.release()
    open_data_directory(tmp_path / "data", run_directory=tmp_path / "run-2").release()


def test_passwords_stay_the_same_differ_by_role_and_are_for_our_eyes_only(tmp_path: Path) -> None:
    data = open_data_directory(tmp_path, run_directory=tmp_path / "run")
    first = data.passwords(["a", "b"])
    assert first["a"] != first["b"]
    assert data.passwords(["a", "b", "c"]) | first == data.passwords(["a", "b", "c"])
    assert data.passwords(["b"]) == {"b": first["b"]}
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600
    data.release()


def test_other_users_can_neither_list_it_nor_read_a_log(tmp_path: Path) -> None:
    """Nor what an earlier release left open."""
    (tmp_path / "data" / "logs").mkdir(parents=True, mode=0o755)
    (tmp_path / "data" / "logs" / "ingest.log").write_text("of before")
    (tmp_path / "data" / "logs" / "ingest.log").chmod(0o644)
    open_data_directory(tmp_path / "data", run_directory=tmp_path / "run").release()
    with open_log(tmp_path / "data" / "logs" / "stats.log") as log:
        log.write(b"of now")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").rglob("*.log")}
    assert modes == {"ingest.log": 0o600, "stats.log": 0o600}
    assert not stat.S_IMODE((tmp_path / "data").stat().st_mode) & 0o066
    assert stat.S_IMODE((tmp_path / "data" / "logs").stat().st_mode) == 0o700


def test_a_data_directory_inside_a_repository_is_not_tracked(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    data = open_data_directory(repository / "my-data", run_directory=tmp_path / "run")
    data.passwords(["a"])
    data.release()
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=repository, check=True, capture_output=True, text=True
    )
    assert status.stdout == ""


def test_what_a_killed_launcher_left_running_is_ended_first(tmp_path: Path) -> None:
    killed = open_data_directory(tmp_path / "data", run_directory=tmp_path / "run-1")
    killed._lock.close()  # what the kernel does when a launcher is killed
    environment = {**os.environ, MARKER_VARIABLE: str(tmp_path / "run-1")}
    with subprocess.Popen(["/bin/sleep", "1000"], env=environment) as leftover:
        data = open_data_directory(tmp_path / "data", run_directory=tmp_path / "run-2")
        gone = is_gone(leftover.pid)
        leftover.kill()
    data.release()
    assert gone


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot use the data directory .*DMP_DATA_DIR"):
        open_data_directory(tmp_path / "file" / "data", run_directory=tmp_path / "run")
