"""`python -m dmp_stack backup`: copies the embedded PostgreSQL of a running system, all three databases at one moment.

The copy is a data directory: put in the place of `postgres` in the data directory of a stopped system, it is what the
next start begins with.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from dmp_stack.errors import StackError
from dmp_stack.postgres import SUPERUSER
from dmp_stack.programs import postgres_install_directory

_SOCKET_LINE: Final = 4
"""Of `postmaster.pid`, counted from 0. *Source:* PostgreSQL, `src/include/utils/pidfile.h`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the copy goes; must not exist, or be empty")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code: 0 if the copy is there and was read again without an error, else 1."""
    data = Path(os.environ.get("DMP_DATA_DIR") or ".data")
    try:
        back_up(data / "postgres", options.directory)
    except StackError as error:
        print(f"dmp: {error}", file=sys.stderr)
        return 1
    print(f"dmp: {options.directory} has all that is committed; verified")
    return 0


def back_up(cluster: Path, directory: Path) -> None:
    """Copies the running cluster, with the part of its write-ahead log that makes the copy whole, and verifies it.

    The copy belongs to whoever owns the cluster. Raises StackError.
    """
    socket_directory = _socket_directory(cluster)
    programs = postgres_install_directory() / "bin"
    _run(
        str(programs / "pg_basebackup"), "--pgdata", str(directory), "--host", socket_directory, "--username",
        SUPERUSER, "--no-password", "--checkpoint=fast", "--wal-method=stream",
    )  # fmt: skip
    _run(str(programs / "pg_verifybackup"), "--quiet", str(directory))
    owner = cluster.stat()
    if owner.st_uid != os.geteuid():
        for path in (directory, *directory.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _socket_directory(cluster: Path) -> str:
    """Where the server of this cluster listens. Raises StackError if none runs."""
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()[_SOCKET_LINE]
    except (OSError, IndexError):
        raise StackError(
            f"no PostgreSQL runs on {cluster}. DMP_DATA_DIR names the data directory of a running system; one that is"
            " stopped is copied with cp -a"
        ) from None


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise StackError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
