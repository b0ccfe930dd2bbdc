"""The data directory: what outlives a launcher. One launcher at a time may use it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dmp_stack.errors import StackError
from dmp_stack.private_file import write_private
from dmp_stack.run_directory import end_leftovers


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDirectory:
    """A data directory that we hold the lock of, until `release`."""

    path: Path
    _lock: IO[str]

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def passwords(self, roles: Iterable[str]) -> dict[str, str]:
        """A random password for each of the roles, the same ones at every start. The file is for our eyes only."""
        wanted = list(roles)
        path = self.path / "passwords.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = [role for role in wanted if role not in known]
        if missing:
            known.update({role: secrets.token_urlsafe(24) for role in missing})
            write_private(path, json.dumps(known))
        return {role: known[role] for role in wanted}

    def write_endpoints(self, endpoints: Mapping[str, str]) -> None:
        """Writes `endpoints.env`, with which other programs can reach the servers while they run; for our eyes only."""
        lines = [f"{name}='{value}'" for name, value in endpoints.items()]
        write_private(self.path / "endpoints.env", "\n".join(lines) + "\n")

    def release(self) -> None:
        """Lets the next launcher in."""
        (self.path / "endpoints.env").unlink(missing_ok=True)
        self._lock.seek(0)
        self._lock.truncate()
        self._lock.close()


def open_data_directory(path: Path, *, run_directory: Path) -> DataDirectory:
    """Makes the directory if needed and takes its lock for the launcher with this run directory.

    A launcher that was killed has left its run directory's name in the lock file: what it left running is ended first.
    Raises StackError if another launcher lives there or the directory is not ours to write.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(path)
        (path / ".gitignore").write_text("*\n")  # passwords live here, whatever the directory is called
        (path / "logs").mkdir(exist_ok=True)
        lock = (path / "lock").open("a+")
    except OSError as error:
        raise StackError(
            f"cannot use the data directory {path}: {error.strerror} ({error.filename}). "
            f"Was it made by another user? DMP_DATA_DIR names another one."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StackError(
            f"another stack is running on the data directory {path}. Stop it, or choose another directory and port: "
            f"DMP_DATA_DIR=.data-2 DMP_HTTP_PORT=8081"
        ) from None
    lock.seek(0)
    predecessor = lock.read().strip()
    if predecessor:
        end_leftovers(Path(predecessor))
    lock.seek(0)
    lock.truncate()
    lock.write(f"{run_directory}\n")
    lock.flush()
    return DataDirectory(path=path, _lock=lock)


def _close_to_others(path: Path) -> None:
    """Takes from other users what an earlier release gave them: the directory, and the logs in it.

    They may pass through the directory only where PostgreSQL, as a user of its own, has its data below it.
    """
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    logs = path / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    logs.chmod(0o700)
    for log in logs.iterdir():
        log.chmod(0o600)
