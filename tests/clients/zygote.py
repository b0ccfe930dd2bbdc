"""A process that has imported `dmp` and forks for each command: what is slow about a command is starting Python.

Commands are real processes with files as stdin, stdout and stderr, as in a pipe: none of them is a terminal.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PROGRAM = """
import json, os, sys, traceback
import dmp_cli.app
asked_here, answered_here = sys.stdin.buffer, sys.stdout
while line := asked_here.readline():
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.environ.clear()
            os.environ.update(asked["environment"])
            written = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            for number, (name, flags) in enumerate(zip(asked["files"], (os.O_RDONLY, written, written))):
                os.dup2(os.open(name, flags, 0o600), number)
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
            os.chdir(asked["directory"])
            sys.argv = ["dmp", *asked["arguments"]]
            dmp_cli.app.main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answered_here, flush=True)
"""


class Zygote:
    """Runs commands one at a time. directory: for the files that take what they print."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment)
        )

    def run(
        self, arguments: Sequence[str], *, stdin: bytes, environment: Mapping[str, str], directory: Path, seconds: float
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one command."""
        files = [self._directory / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_bytes(stdin)
        asked = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "directory": str(directory),
            "files": [str(file) for file in files],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], seconds)[0], f"dmp {arguments} takes too long"
        code = int(self._process.stdout.readline())
        return code, files[1].read_text(), files[2].read_text()

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()
