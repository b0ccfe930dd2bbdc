"""Breaks a service's rules on purpose, one small change at a time, and counts the changes that no unit test notices.

    python -m tests.mutants ingest            a table: mutants and survivors of each module of dmp_ingest.domain
    python -m tests.mutants ingest --show     and what each survivor changed
    python -m tests.mutants ingest --tenths 2 only a fifth of the changes, spread over all functions

Only the unit tests run whose name begins with that of a module in `domain/`: they are to be the specification of its
rules, and need no server. mutmut makes the mutants and runs, for each, the tests that reach the changed function. It
works on copies, in `.mutants/<service>/`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_SERVICES: Final = ("identity", "ingest", "stats")
_PROJECT: Final = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/dmp_{service}/domain/*.py"]
pytest_add_cli_args_test_selection = ["tests/{service}/unit"]

[tool.pytest.ini_options]
pythonpath = ["."]
addopts = ["--import-mode=importlib", "-p", "no:cacheprovider"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""
_CONFTEST: Final = """
from hypothesis import Phase, settings

# A failing example need not be made small: that takes longer than a mutant is given.
settings.register_profile(
    "mutants", derandomize=True, database=None, deadline=None, max_examples=25, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile("mutants")
"""
_LAST_DIGITS: Final = "1638502749"
"""The mutants of a function are numbered: those that end in one digit are a tenth of all, spread over all functions."""
_MUTANT: Final = re.compile(r"^\s*(\S+__mutmut_\d+): (.+?)\s*$", re.MULTILINE)
_NOTICED: Final = frozenset({"killed", "timeout", "suspicious", "segfault", "caught by type check"})


def main() -> int:
    """Runs from the command line; 1 if mutmut could not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("services", nargs="*", default=_SERVICES, help="all by default")
    parser.add_argument("--tenths", type=int, choices=range(1, 11), default=10, help="try only so many tenths")
    parser.add_argument("--show", action="store_true", help="print what each survivor changed")
    arguments = parser.parse_args()
    for service in arguments.services:
        where = _prepare(service)
        chosen = [f"*__mutmut_*{digit}" for digit in _LAST_DIGITS[: arguments.tenths]]
        _mutmut(where, "run", "--max-children", "1", *chosen)
        results = _MUTANT.findall(_mutmut(where, "results", "--all", "true"))
        outcomes = [(name, outcome) for name, outcome in results if outcome != "not checked"]
        if not outcomes:
            return 1
        survivors = [name for name, outcome in outcomes if outcome not in _NOTICED]
        print(_table(service, outcomes))
        for name in survivors:
            print(_mutmut(where, "show", name) if arguments.show else name)
    return 0


def _prepare(service: str) -> Path:
    """A folder with copies of the service's package and of the unit tests that have the names of its rules' modules."""
    where = _ROOT / ".mutants" / service
    shutil.rmtree(where, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_ROOT / f"services/{service}/src/dmp_{service}", where / f"src/dmp_{service}", ignore=ignored)
    tests = where / "tests" / service
    (tests / "unit").mkdir(parents=True)
    for rules in (where / f"src/dmp_{service}/domain").glob("*.py"):
        for description in (_ROOT / "tests" / service / "unit").glob(f"test_{rules.stem}*.py"):
            shutil.copy(description, tests / "unit")
    for module in (_ROOT / "tests" / service).glob("*.py"):
        if module.name != "conftest.py":
            shutil.copy(module, tests)
    shutil.copy(_ROOT / "tests" / "conditions.py", where / "tests")
    (where / "tests" / "conftest.py").write_text(_CONFTEST)
    (where / "pyproject.toml").write_text(_PROJECT.format(service=service))
    return where


def _mutmut(where: Path, *arguments: str) -> str:
    """What mutmut prints. It puts the mutated copies before the installed package."""
    command = ["nice", "-n", "15", sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"mutmut {' '.join(arguments)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def _table(service: str, outcomes: list[tuple[str, str]]) -> str:
    """Mutants and survivors by module, as rows of a Markdown table."""
    by_module: dict[str, Counter[bool]] = defaultdict(Counter)
    for name, outcome in outcomes:
        by_module[name.split(".x")[0].removeprefix(f"dmp_{service}.domain.")][outcome not in _NOTICED] += 1
    by_module["all"] = sum(by_module.values(), Counter())
    return "\n".join(
        [
            f"| {service} | mutants | survivors | share |",
            "|---|---|---|---|",
            *(
                f"| `{module}` | {counts.total()} | {counts[True]} | {counts[True] / counts.total():.1%} |"
                for module, counts in by_module.items()
            ),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
