"""The run directory: a short-lived place with a short path for sockets and, in ephemeral mode, for the data.

Unix socket paths may have 107 bytes only, and a data directory may lie deep, so sockets go here. A run directory is
alive as long as its launcher holds the lock on it; every child carries the directory's name in its environment. Both
together let a later start find and end what a killed launcher left behind, and prove that it was one's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from dmp_stack.errors import StackError

MARKER_VARIABLE = "DMP_STACK_RUN_DIRECTORY"
LEFTOVER_TIMEOUT_SECONDS = 20.0
_PREFIX = "dmp-run-"
_MARK = "dmp-run.mark"  # a directory with this file in it is one that a sweep may delete
_LONGEST_BASE = 60  # bytes; leaves room for the longest socket name below it


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """A live run directory. `remove` ends its life; until then nobody's sweep touches it."""

    path: Path
    _lock: int

    def service_sockets(self) -> Path:
        """The directory of the services' sockets. They ask for no password, so no other user may even pass through."""
        path = self.path / "services"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def remove(self) -> None:
        """Deletes the directory with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.unlock()

    def unlock(self) -> None:
        """Leaves the directory to the next sweep, as the kernel does when a launcher is killed."""
        os.close(self._lock)


def create_run_directory() -> RunDirectory:
    """A new run directory, which only we can list.

    The lock is one on the directory itself, which also keeps the system's cleaners of temporary files away.
    """
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (path / _MARK).touch()
    if os.geteuid() == 0:
        path.chmod(0o711)  # PostgreSQL, as a user of its own, passes through to its socket; nobody can list it
    return RunDirectory(path=path, _lock=lock)


def sweep_stale_run_directories() -> None:
    """Ends the leftovers of every launcher of ours that was killed, and deletes its run directory."""
    for path in _base().glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.geteuid() and (path / _MARK).exists():
                _sweep(path)


def _sweep(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end_leftovers(path)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        pass  # its launcher lives
    finally:
        os.close(lock)


def end_leftovers(run_directory: Path) -> None:
    """Ends all processes that were started for `run_directory` and waits until they are gone.

    They get SIGQUIT first, at which PostgreSQL ends at once but takes its own children along, then SIGKILL.
    """
    deadline = time.monotonic() + LEFTOVER_TIMEOUT_SECONDS
    gentle_until = time.monotonic() + LEFTOVER_TIMEOUT_SECONDS / 4
    asked: set[int] = set()
    while leftovers := _processes_of(run_directory):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in leftovers)
            raise StackError(f"processes of an earlier run do not end: {pids}. End them and start again.")
        for process in leftovers:
            with contextlib.suppress(psutil.NoSuchProcess):
                if time.monotonic() > gentle_until:
                    process.send_signal(signal.SIGKILL)
                elif process.pid not in asked:
                    process.send_signal(signal.SIGCONT)
                    process.send_signal(signal.SIGQUIT)
                    asked.add(process.pid)
        psutil.wait_procs(leftovers, timeout=0.2)


def _processes_of(run_directory: Path) -> list[psutil.Process]:
    """The processes whose environment names the run directory. psutil checks start times: no re-used pid is hit."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (
                process.pid != os.getpid()
                and process.environ().get(MARKER_VARIABLE) == str(run_directory)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found


def _base() -> Path:
    """The system's temporary directory, or /tmp where its path is too long for sockets below it."""
    base = Path(tempfile.gettempdir()).resolve()
    return base if len(os.fsencode(base)) <= _LONGEST_BASE else Path("/tmp")  # noqa: S108 - mkdtemp makes the name safe
