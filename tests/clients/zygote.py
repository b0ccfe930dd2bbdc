"""A process that has imported `dmp` and forks for each command: what is slow about a command is starting Python.

Commands are real processes. They get the stdin, stdout and stderr that the asker hands over, and his environment.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conditions import wait_until

_PROGRAM = """
import json, os, signal, socket, sys, traceback
import dmp_cli.app, httpx2, httpcore2, dmp_client.client
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1] + ".new")
listening.listen(16)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    asking, _ = listening.accept()
    if os.fork():
        asking.close()
        continue
    listening.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, files, _, _ = socket.recv_fds(asking, 1 << 20, 3)
    while not text.endswith(b"\\n"):
        text += asking.recv(1 << 20)
    code = 70
    try:
        asked = json.loads(text)
        os.environ.clear()
        os.environ.update(asked["environment"])
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
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
    asking.sendall(b"%d" % code)
    os._exit(code)
"""

_STAND_IN = """#!{python} -SE
import json, os, socket, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect({path!r})
asked = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "directory": os.getcwd()}}
socket.send_fds(asking, [json.dumps(asked).encode() + b"\\n"], [0, 1, 2])
sys.exit(int(asking.recv(16)))
"""


class Zygote:
    """Runs commands. directory: for its socket, and for the files that take what they print."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._socket = directory / "zygote"
        self._process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(self._socket)], env=dict(environment))
        wait_until(self._is_ready, "the zygote listens", timeout_seconds=60)

    def run(
        self, arguments: Sequence[str], *, stdin: bytes, environment: Mapping[str, str], directory: Path, seconds: float
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one command whose stdin, stdout and stderr are files."""
        files = [self._directory / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_bytes(stdin)
        written = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = [
            os.open(file, flags, 0o600) for file, flags in zip(files, (os.O_RDONLY, written, written), strict=True)
        ]
        asked = {"arguments": list(arguments), "environment": dict(environment), "directory": str(directory)}
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(seconds)
            asking.connect(str(self._socket))
            socket.send_fds(asking, [json.dumps(asked).encode() + b"\n"], opened)
            for file in opened:
                os.close(file)
            code = asking.recv(16)
        assert code, f"dmp {arguments} was killed"
        return int(code), files[1].read_text(), files[2].read_text()

    def stand_in(self, program: Path) -> None:
        """Writes a program that is `dmp` for whoever starts it: it hands over to this process."""
        program.write_text(_STAND_IN.format(python=sys.executable, path=str(self._socket)))
        program.chmod(0o755)

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, "the zygote has ended"
        return self._socket.exists()
