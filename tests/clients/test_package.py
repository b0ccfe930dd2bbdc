"""The package as a stranger gets it: built, installed into an empty environment, used there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from dmp_stack.programs import repository_root

PROGRAM = """
import sys
from dmp_client import DmpClient

with DmpClient(sys.argv[1], spool=sys.argv[2], source="test") as dmp:
    dmp.track("click", campaign_id=sys.argv[3])
    assert dmp.flush(30)
    assert dmp.system_health().ok
print(sys.modules["dmp_client"].__file__)
"""


def test_it_works_in_an_empty_environment(
    gateway_url: str, campaign: str, assert_counted: Callable[[str, int], None], tmp_path: Path
) -> None:
    source = tmp_path / "source"  # building writes beside the source
    shutil.copytree(
        repository_root() / "clients" / "python", source, ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True)
    [wheel] = tmp_path.glob("dmp_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"dmp_client/py.typed", "dmp_cli/py.typed", "dmp_client/answers/people.py"} <= names

    uv = str(Path(sys.executable).with_name("uv"))
    python = tmp_path / "empty" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(python.parents[1])], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True)
    arguments = [gateway_url, str(tmp_path / "a.spool"), campaign]
    done = subprocess.run(
        [str(python), "-I", "-W", "error", "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(python.parents[1])
    assert_counted(campaign, 1)
