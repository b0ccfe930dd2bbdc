"""Programs that are no wheels and no npm packages: those of this machine, or Debian's, which `make test` unpacks
into the virtual environment (`tests/bring_programs.sh`).
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import Final

from dmp_stack.programs import repository_root

BROUGHT: Final = repository_root() / ".venv" / "brought"
"""Where they are, with the libraries that this machine lacks below `root`."""


def brought(name: str) -> str:
    """The path of a program. Fails where `make test` has not brought it."""
    found = shutil.which(name, path=f"{BROUGHT}/bin:{os.environ['PATH']}")
    assert found, f"there is no {name}: `make alerting` brings it"
    return found


def brought_environment() -> dict[str, str]:
    """What they have to be told of their libraries."""
    folder = BROUGHT / "root" / "usr" / "lib" / f"{platform.machine()}-linux-gnu"
    return {"LD_LIBRARY_PATH": str(folder)} if folder.is_dir() else {}
