"""The directory in which somebody types the commands of a document."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dmp_stack.programs import repository_root
from tests.clients.zygote import Zygote
from tests.docs.document import ADDRESS, steps
from tests.docs.printed import Printed


@dataclass(slots=True)
class Desk:
    """A home with a desk in it, for a system at an address (host and port). `dmp` runs in the zygote.

    patience_seconds: how long `curl` may be called again while it prints something else than what is shown.
    others: where other addresses of the documents really are, such as the ports of the metrics.
    """

    home: Path
    address: str
    zygote: Zygote
    patience_seconds: float = 0.0
    others: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Makes the directories, and the programs that are found there."""
        root = repository_root()
        programs = self.home / "bin"
        programs.mkdir()
        self.zygote.stand_in(programs / "dmp")
        for name, arguments in (("python", ""), ("curl", f"-SE {root / 'tests' / 'docs' / 'curl.py'}")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            program.chmod(0o755)
        (self.home / "desk").mkdir()
        (self.home / "desk" / "services").symlink_to(root / "services")

    def run(self, document: Path) -> tuple[int, list[str]]:
        """Does what a document says. How many commands it has, and where one printed something else."""
        printed = Printed()
        differences: list[str] = []
        commands = 0
        for step in steps(document.read_text()):
            text = printed.put_in(self._here(step.text if step.file else step.command))
            if step.file:
                (self.home / "desk" / step.file).write_text(text)
                continue
            commands += 1
            if difference := self._difference(printed, text, step.text):
                differences.append(f"{document.name}:{step.line}: {step.command}\n{difference}")
        return commands, differences

    def _here(self, text: str) -> str:
        """The text with the addresses of this system."""
        for shown, real in self.others.items():
            text = text.replace(shown, real)
        return ADDRESS.sub(self.address, text)

    def _difference(self, printed: Printed, command: str, shown: str) -> str:
        began = time.monotonic()
        while difference := printed.difference(shown, self.output(command)):
            if not command.startswith("curl ") or time.monotonic() - began > self.patience_seconds:
                break
        return difference

    def output(self, command: str) -> str:
        """What a command prints: stdout, then stderr."""
        root = repository_root()
        environment = {
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "PYTHONPATH": str(root / "clients" / "python" / "src"),
            "DMP_URL": f"http://{self.address}",
            "LC_ALL": "C.UTF-8",
            "no_proxy": "*",
        }
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=self.home / "desk",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return f"{ran.stdout.rstrip()}\n{ran.stderr}".replace(self.address, "localhost:8080")
