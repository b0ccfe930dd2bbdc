"""A launcher as a person at a terminal has it: `python -m dmp_stack run` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from dmp_stack.run_directory import MARKER_VARIABLE
from tests.conditions import is_gone, wait_until

READY = re.compile(r"dmp: ready on (http://\S+) after [0-9.]+ s")
STOP_SECONDS = 10.0


class Launcher:
    """One running launcher and what it said so far."""

    def __init__(self, environment: dict[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DMP_")}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dmp_stack", "run"],
            env=inherited | {"DMP_HTTP_PORT": "0"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(line.rstrip("\n") for line in output)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for_line(self, part: str, *, timeout_seconds: float = 60.0) -> str:
        """The first line with `part` in it, as soon as it is printed."""
        wait_until(
            lambda: any(part in line for line in list(self.lines)) or self.process.poll() is not None,
            f"a line with {part!r}",
            timeout_seconds=timeout_seconds,
        )
        for line in list(self.lines):
            if part in line:
                return line
        raise AssertionError(f"the launcher ended with {self.process.returncode}:\n{self.output}")

    def wait_ready(self) -> str:
        """The address on the ready line."""
        found = READY.match(self.wait_for_line("dmp: ready on"))
        assert found is not None
        return found[1]

    def children(self) -> dict[str, int]:
        """Process ids by name of program and command: `dmp_ingest serve`, `envoy`, ..."""
        found = {}
        for process in psutil.Process(self.process.pid).children():
            arguments = process.cmdline()
            if arguments:
                program = Path(arguments[0].split()[0]).name
                found[" ".join(arguments[2:]) if "-m" in arguments[:2] else program] = process.pid
        return found

    def family(self) -> list[int]:
        """The process ids of everything that was started for it, found by the mark in the environment or by descent."""
        return [process.pid for process in psutil.Process(self.process.pid).children(recursive=True)]

    def processor_seconds(self) -> float:
        """What it and everything that it started has used so far, on all processors together."""
        own = psutil.Process(self.process.pid)
        used = [process.cpu_times() for process in (own, *own.children(recursive=True))]
        return sum(t.user + t.system + t.children_user + t.children_system for t in used)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends a signal to the process group, as a terminal does, waits for the end, and returns the exit code."""
        os.killpg(self.process.pid, number)
        code = self.process.wait(timeout=STOP_SECONDS)
        self._reader.join(timeout=STOP_SECONDS)
        return code


@contextmanager
def launcher(**environment: str) -> Iterator[Launcher]:
    """A launcher that is gone, with everything it started, after the block."""
    running = Launcher(environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            family = running.family()
            running.process.send_signal(signal.SIGTERM)
            try:
                running.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
            wait_until(lambda: all(map(is_gone, family)), "everything gone")
        running._reader.join(timeout=5)


def marked_processes(run_directory: Path) -> list[int]:
    """All processes on this machine that were started for a run directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER_VARIABLE) == str(run_directory) and not is_gone(process.pid):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def run_directory_of(data_directory: Path) -> Path:
    """The run directory of the launcher that lives on a data directory."""
    return Path((data_directory / "lock").read_text().strip())
