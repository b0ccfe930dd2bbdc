"""A kept child comes back when it dies, stays down when asked, and does not outlive its launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dmp_stack.child import Child, ChildSpec, log_tail, rotate_log
from tests.conditions import is_gone, wait_until

MakeChild = Callable[..., Child]


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def make_child(tmp_path: Path, reports: list[str]) -> Iterator[MakeChild]:
    children: list[Child] = []

    def make(*argv: str, name: str = "sleeper") -> Child:
        spec = ChildSpec(name=name, argv=argv, environment=dict(os.environ), log_path=tmp_path / "logs" / f"{name}.log")
        child = Child(spec, reports.append)
        children.append(child)
        child.start()
        return child

    yield make
    for child in children:
        child.close(1)


def test_a_killed_child_comes_back_and_one_line_says_so(make_child: MakeChild, reports: list[str]) -> None:
    child = make_child("/bin/sleep", "1000")
    first = child.pid
    assert child.kill()
    wait_until(lambda: child.pid not in (None, first), "a new process")
    assert reports == ["sleeper died (signal SIGKILL), restarting in 0.1 s"]
    assert (child.starts, child.deaths) == (2, 1)


def test_a_child_that_keeps_dying_waits_longer_each_time(make_child: MakeChild, reports: list[str]) -> None:
    child = make_child("/bin/sh", "-c", "exit 3")
    wait_until(lambda: child.deaths >= 4, "four deaths")
    assert reports[:3] == [f"sleeper died (exit code 3), restarting in {delay} s" for delay in ("0.1", "0.2", "0.4")]


def test_a_program_that_does_not_exist_is_reported_and_tried_again(make_child: MakeChild, reports: list[str]) -> None:
    child = make_child("/nonexistent/program")
    wait_until(lambda: child.deaths >= 2, "two deaths")
    assert reports[0] == "sleeper died (exit code 1), restarting in 0.1 s"
    assert "/nonexistent/program" in child.log_tail() or "No such file" in child.log_tail()


def test_a_stopped_child_stays_down_until_started(make_child: MakeChild, reports: list[str]) -> None:
    child = make_child("/bin/sleep", "1000")
    assert child.stop(5)
    assert child.pid is None
    child.start()
    assert child.starts == 2
    assert reports == []


def test_a_frozen_child_can_be_stopped(make_child: MakeChild) -> None:
    child = make_child("/bin/sleep", "1000")
    process = psutil.Process(child.pid)
    child.pause()
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "frozen")
    assert child.stop(5)


def test_a_child_that_ignores_the_request_is_killed(make_child: MakeChild, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    child = make_child("/bin/sh", "-c", f"trap '' TERM; : > {deaf}; while :; do sleep 0.05; done")
    wait_until(deaf.exists, "deaf")
    assert not child.stop(0.2)
    assert child.pid is None


def test_a_child_dies_with_a_launcher_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import pathlib, threading
from dmp_stack.child import Child, ChildSpec
log = pathlib.Path({str(tmp_path)!r}) / "log"
spec = ChildSpec(name="orphan", argv=("/bin/sleep", "1000"), environment={{}}, log_path=log)
child = Child(spec, print)
child.start()
print(child.pid, flush=True)
threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        orphan = int(launcher.stdout.readline())
        assert not is_gone(orphan)
        launcher.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(orphan), "the orphan gone")


def test_a_child_outlives_the_thread_that_asked_for_it(make_child: MakeChild) -> None:
    made: list[Child] = []
    thread = threading.Thread(target=lambda: made.append(make_child("/bin/sleep", "1000")))
    thread.start()
    thread.join()
    child = made[0]
    pid = child.pid
    assert pid is not None
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(pid).wait(timeout=0.3)
    assert child.pid == pid


def test_a_log_that_has_grown_large_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmp_stack.child.LOG_ROTATION_BYTES", 10)
    log = tmp_path / "some.log"
    log.write_text("a line that is longer than that\n")
    rotate_log(log)
    assert not log.exists()
    assert log_tail(tmp_path / "some.log.1") == "a line that is longer than that"
