"""The system user that PostgreSQL runs as. PostgreSQL refuses to run as root; everybody else runs it as themselves."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

from dmp_stack.errors import StackError

POSTGRES_SYSTEM_USER = "embedded_postgres"


def postgres_system_user() -> str | None:
    """The user to run PostgreSQL as: None means ourselves; as root it is a user of its own, made when there is none."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(POSTGRES_SYSTEM_USER)
    except KeyError:
        _make_user(POSTGRES_SYSTEM_USER)
    return POSTGRES_SYSTEM_USER


def _make_user(name: str) -> None:
    try:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", name], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackError(
            f"PostgreSQL cannot run as root and the system user {name!r} could not be made ({error}). "
            f"Run this as a normal user, or make that user first."
        ) from error


def current_user_name() -> str:
    """The name that PostgreSQL's peer authentication sees for this process."""
    return pwd.getpwuid(os.geteuid()).pw_name


def hand_over(directory: Path, user: str | None) -> None:
    """Makes `directory` (and only it) belong to `user` and nobody else; lets that user reach it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None:
        return
    entry = pwd.getpwnam(user)
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    grant_traversal(directory)


def grant_traversal(path: Path) -> None:
    """Lets other users pass through (not list) the directories above `path`, where they may not already.

    Only called as root: PostgreSQL, as a user of its own, must reach its data and its programs wherever they lie.
    """
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def grant_programs(install_directory: Path, user: str | None) -> None:
    """Lets `user` run the programs of a wheel, whatever umask it was installed with."""
    if user is None:
        return
    server = install_directory / "bin" / "postgres"
    grant_traversal(server)
    if server.stat().st_mode & stat.S_IXOTH:
        return
    libraries = install_directory.parent.with_name("embedded_postgres.libs")
    for tree in (install_directory, libraries):
        for path in (tree, *tree.rglob("*")):
            executable = path.is_dir() or path.parent.name == "bin" or path.suffix == ".so"
            path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IROTH | (stat.S_IXOTH if executable else 0))
