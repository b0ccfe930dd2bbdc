"""One child process that is kept alive: started, watched, restarted with backoff when it dies, stopped when asked.

Every child has one *keeper* thread, which alone starts its process and lives as long as the child is kept. That is not
a matter of taste: on Linux the death signal that ends orphans is tied to the thread that started them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FIRST_RESTART_DELAY_SECONDS = 0.1
LONGEST_RESTART_DELAY_SECONDS = 10.0
STABLE_AFTER_SECONDS = 10.0
LOG_ROTATION_BYTES = 16 * 1024 * 1024

_CHILD_EXEC = str(Path(__file__).with_name("child_exec.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to run one child.

    `argv[0]` is an absolute path; `environment` is the whole environment. `user` is the system user to become (None:
    ours). `stop_signal` asks for an orderly end, `orphan_signal` is what the child gets when we are killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log_path: Path
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL


def child_command(
    argv: tuple[str, ...], *, user: str | None = None, orphan_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """`argv` wrapped so that it runs as `user` and ends with the thread that starts it."""
    return [
        sys.executable, "-I", "-S", _CHILD_EXEC, str(os.getpid()), str(int(orphan_signal)), user or "-", *argv,
    ]  # fmt: skip


def describe_exit(returncode: int) -> str:
    """`signal SIGKILL` or `exit code 1`, for messages."""
    if returncode < 0:
        try:
            return f"signal {signal.Signals(-returncode).name}"
        except ValueError:
            return f"signal {-returncode}"
    return f"exit code {returncode}"


class Child:
    """A kept child. All methods may be called from any thread.

    `report` gets one sentence when the process died by itself; it is called from the keeper thread.
    """

    def __init__(self, spec: ChildSpec, report: Callable[[str], None]) -> None:
        self.spec = spec
        self._report = report
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._closed = False
        self._starts = 0
        self._deaths = 0
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {spec.name}", daemon=True)
        self._keeper.start()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The process id while the process runs, else None."""
        with self._changed:
            return self._process.pid if self._process is not None else None

    @property
    def starts(self) -> int:
        """How often a process was started for this child, the first one included."""
        with self._changed:
            return self._starts

    @property
    def deaths(self) -> int:
        """How often the process ended without being asked to."""
        with self._changed:
            return self._deaths

    def start(self) -> None:
        """Wants the child to run and returns once its process exists (which does not mean that it is ready)."""
        with self._changed:
            if self._closed:
                raise RuntimeError(f"{self.name} is closed")
            self._wanted = True
            self._changed.notify_all()
            starts = self._starts
            self._changed.wait_for(lambda: self._process is not None or self._starts > starts or not self._wanted)

    def send_signal(self, number: signal.Signals) -> bool:
        """Sends a signal to the running process; False when none runs. A process so ended is restarted."""
        with self._changed:
            if self._process is None:
                return False
            os.kill(self._process.pid, number)
            return True

    def kill(self) -> bool:
        """`kill -9`; the keeper then starts a new process."""
        return self.send_signal(signal.SIGKILL)

    def pause(self) -> bool:
        """Freezes the process (SIGSTOP)."""
        return self.send_signal(signal.SIGSTOP)

    def resume(self) -> bool:
        """Lets a frozen process go on (SIGCONT)."""
        return self.send_signal(signal.SIGCONT)

    def stop(self, timeout_seconds: float, *, number: signal.Signals | None = None) -> bool:
        """Ends the process in order and keeps it down until `start`; False when it had to be killed after all."""
        self.request_stop(number=number)
        return self.wait_stopped(timeout_seconds)

    def request_stop(self, *, number: signal.Signals | None = None) -> None:
        """Asks the process to end, without waiting, and keeps it down until `start`."""
        with self._changed:
            self._wanted = False
            self._changed.notify_all()
            if self._process is not None:
                os.kill(self._process.pid, number if number is not None else self.spec.stop_signal)
                os.kill(self._process.pid, signal.SIGCONT)  # a frozen process could not obey

    def wait_stopped(self, timeout_seconds: float) -> bool:
        """Waits for the end of a process that was asked to end; kills it after the timeout and then returns False."""
        with self._changed:
            if self._changed.wait_for(lambda: self._process is None, timeout_seconds):
                return True
            if self._process is not None:
                os.kill(self._process.pid, signal.SIGKILL)
            self._changed.wait_for(lambda: self._process is None)
            return False

    def close(self, timeout_seconds: float = 0.0) -> bool:
        """Ends the process for good, and the keeper with it."""
        self.request_stop()
        in_order = self.wait_stopped(timeout_seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._keeper.join()
        return in_order

    def log_tail(self) -> str:
        """The last lines that the child wrote."""
        return log_tail(self.spec.log_path)

    def _keep(self) -> None:
        delay = FIRST_RESTART_DELAY_SECONDS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    return
                process = self._spawn()
                self._process = process
                self._starts += 1
                self._changed.notify_all()
            started = time.monotonic()
            if sys.platform != "darwin":  # where it does not exist before Python 3.13
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its pid is ours until reaped
            else:
                process.wait()
            with self._changed:
                returncode = process.wait()
                self._process = None
                died = self._wanted
                self._deaths += died
                self._changed.notify_all()
            if not died:
                delay = FIRST_RESTART_DELAY_SECONDS
                continue
            if time.monotonic() - started > STABLE_AFTER_SECONDS:
                delay = FIRST_RESTART_DELAY_SECONDS
            self._report(f"{self.name} died ({describe_exit(returncode)}), restarting in {delay:g} s")
            with self._changed:
                self._changed.wait_for(lambda: self._closed or not self._wanted, delay)
            delay = min(delay * 2, LONGEST_RESTART_DELAY_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        spec = self.spec
        rotate_log(spec.log_path)
        with open_log(spec.log_path) as log:
            return subprocess.Popen(
                child_command(spec.argv, user=spec.user, orphan_signal=spec.orphan_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(spec.environment),
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops things in order
            )


def open_log(path: Path) -> IO[bytes]:
    """Opens a log to append to it; nobody but its owner can read it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def rotate_log(path: Path) -> None:
    """Moves a log that has grown large aside, as `<name>.1`, over the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_ROTATION_BYTES:
        path.replace(path.with_name(path.name + ".1"))


def log_tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 16384))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
