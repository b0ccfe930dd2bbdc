"""Is a weakness known in a package that runs? `make vulnerabilities`.

Asks for every package of requirements.lock, by name and version. Exits with 0 if every package was looked up and none
is affected, with 1 if one is, and with 2 if not every package could be looked up: no answer is no good news.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LOCK: Final = Path(__file__).resolve().parents[2] / "requirements.lock"
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_COMMAND: Final = (
    "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes", "--format", "json",
    "--progress-spinner", "off",
)  # fmt: skip


def judge(names: set[str], report: dict[str, Any] | None) -> tuple[int, list[str]]:
    """The exit code and what to say, for the packages of the lock and pip-audit's report; None if there is none."""
    if report is None:
        return 2, [f"The source of advisories could not be reached: nothing is known about {len(names)} packages."]
    packages = {_normal(each["name"]): each for each in report["dependencies"]}
    affected = [
        f"{each['name']} {each['version']}: {found['id']}"
        + (f", mended in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "")
        for each in packages.values()
        for found in each.get("vulns", ())
    ]
    unknown = sorted(name for name in names if "vulns" not in packages.get(name, {}))
    lines = affected.copy()
    if unknown:
        lines.append(f"NOT LOOKED UP, {len(unknown)} of {len(names)} packages: {', '.join(unknown)}")
    if not lines:
        lines.append(f"No weakness is known in {len(names)} packages.")
    return (1 if affected else 2 if unknown else 0), lines


def names_in(lock: str) -> set[str]:
    """The names of the packages of a lock file."""
    return {_normal(name) for name in _PINNED.findall(lock)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """The command."""
    done = subprocess.run([sys.executable, *_COMMAND], capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        report = None
        print(*done.stderr.strip().splitlines()[-1:], sep="\n", file=sys.stderr)
    code, lines = judge(names_in(LOCK.read_text()), report)
    print(*lines, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
