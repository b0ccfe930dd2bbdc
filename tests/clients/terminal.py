"""`dmp` as a person uses it: in a pipe, and in a terminal whose screen can be read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pexpect
import pyte

from dmp_stack.programs import repository_root
from tests.clients.zygote import Zygote

PROGRAM = [sys.executable, "-m", "dmp_cli"]


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    """What `dmp` sees: a home of its own, and the address of the gateway."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONPATH": str(repository_root() / "clients" / "python" / "src"),
        "DMP_URL": url,
        "LC_ALL": "C.UTF-8",
        **more,
    }


class Shell:
    """Runs `dmp` in pipes. home: its home directory; files are named in the directory `cwd`."""

    def __init__(self, home: Path, url: str, zygote: Zygote) -> None:
        self.home = home
        self.url = url
        self._zygote = zygote

    def run(
        self, *arguments: str, stdin: bytes | None = None, expect: int | None = 0, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """One command; its exit code must be `expect`, if that is given."""
        code, stdout, stderr = self._zygote.run(
            arguments,
            stdin=stdin or b"",
            environment=environment(self.home, self.url, **more),
            directory=self.home,
            seconds=60,
        )
        result = subprocess.CompletedProcess(list(arguments), code, stdout, stderr)
        assert "Traceback" not in result.stderr, result.stderr
        if expect is not None:
            assert result.returncode == expect, (result.returncode, result.stdout, result.stderr)
        return result

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """One command that is still running."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(self.home, self.url, **more),
            cwd=self.home,
        )

    def terminal(self, *arguments: str, rows: int = 30, columns: int = 100, **more: str) -> Terminal:
        """One command in a terminal."""
        return Terminal(
            arguments, environment(self.home, self.url, TERM="xterm-256color", **more), (rows, columns), self.home
        )


class Terminal:
    """A pseudo-terminal with a screen."""

    def __init__(
        self, arguments: Sequence[str], variables: dict[str, str], size: tuple[int, int], directory: Path
    ) -> None:
        rows, columns = size
        self._screen = pyte.HistoryScreen(columns, rows, history=2000)
        self._stream = pyte.ByteStream(self._screen)
        self.bytes = b""
        self._child = pexpect.spawn(
            PROGRAM[0], [*PROGRAM[1:], *arguments], env=variables, dimensions=size, cwd=str(directory), timeout=30
        )

    def wait_for(self, text: str, seconds: float = 30.0) -> str:
        """The screen, as soon as it shows a text."""
        return self._wait(lambda screen: text in screen, f"{text!r}", seconds)

    def type(self, text: str) -> None:
        """Types a text as it is; a line ends with a carriage return."""
        self._child.send(text)

    def end(self, seconds: float = 30.0) -> int:
        """Waits until the program ends and returns its exit code."""
        self._wait(lambda _: not self._child.isalive() and self._is_drained, "the end", seconds)
        self._child.close()
        return int(self._child.exitstatus if self._child.exitstatus is not None else -(self._child.signalstatus or 0))

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    _is_drained = False

    def _wait(self, reached: Callable[[str], bool], what: str, seconds: float) -> str:
        ends = time.monotonic() + seconds
        while True:
            self._read()
            if reached(self.text):
                return self.text
            assert time.monotonic() < ends, f"the screen never showed {what}:\n{self.text}"

    def _read(self) -> None:
        try:
            piece = cast("bytes", self._child.read_nonblocking(65536, timeout=0.1))
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            self._is_drained = True
            return
        self.bytes += piece
        self._stream.feed(piece)
