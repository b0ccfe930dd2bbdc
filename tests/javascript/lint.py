"""Checks the JavaScript of the console and of the clients with Biome: `make lint`.

    python -m tests.javascript.lint FOLDER

FOLDER has what package-lock.json beside this file names. Biome is a program of its own: no Node.js is needed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKED = ("console", "clients/js")


def lint(folder: Path) -> int:
    """Biome's exit code: 0 if it finds nothing. Prints what it finds."""
    (program,) = (folder / "node_modules" / "@biomejs").glob("cli-*/biome*")
    there = [path for path in CHECKED if (ROOT / path).is_dir()]
    options = ["--error-on-warnings", f"--config-path={Path(__file__).parent}"]
    return subprocess.run([program, "lint", *options, *there], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(lint(Path(sys.argv[1]).absolute()))
