"""Breaks a service's rules on purpose, one small change at a time, and counts the changes that no unit test notices.

    python -m tests.mutants ingest                    a table: mutants and survivors of each module of dmp_ingest.domain
    python -m tests.mutants ingest --show             and what each survivor changed
    python -m tests.mutants ingest --tenths 2         only a fifth of the changes, spread over all functions
    python -m tests.mutants ingest --module duplicate only the changes of one module; may be given several times
    python -m tests.mutants ingest --minutes 10       as many as can be tried in so long, spread over all functions

Only the unit tests run whose name begins with that of a module in `domain/`: they are to be the specification of its
rules, and need no server. mutmut makes the mutants and finds out which tests reach which function; `mutant_trials.py`
runs, for each mutant, the tests that reach it. Both work on copies, in `.mutants/<service>/`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_SERVICES: Final = ("identity", "ingest", "stats")
_PROJECT: Final = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = [{modules}]
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
_MUTANT: Final = re.compile(r"^\s*(\S+__mutmut_\d+): ", re.MULTILINE)
_NO_MUTANT: Final = "none__mutmut_0"
_NOTICED: Final = frozenset({"killed", "out of time"})


def main() -> int:
    """Runs from the command line; 1 if mutmut could not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("services", nargs="*", default=_SERVICES, help="all by default")
    parser.add_argument("--tenths", type=int, choices=range(1, 11), default=10, help="try only so many tenths")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="begin no further trial after so long")
    parser.add_argument("--module", action="append", dest="modules", help="of the domain, without .py; all by default")
    parser.add_argument("--show", action="store_true", help="print what each survivor changed")
    arguments = parser.parse_args()
    for service in arguments.services:
        where = _prepare(service, arguments.modules or ["*"])
        mutants = _make(where)
        tenths = _LAST_DIGITS[: arguments.tenths]
        chosen = sorted((name for name in mutants if name[-1] in tenths), key=lambda name: tenths.index(name[-1]))
        outcomes = _try(where, chosen, minutes=arguments.minutes)
        print(_table(service, mutants, outcomes), flush=True)
        for name, outcome in outcomes.items():
            if outcome not in _NOTICED:
                print(f"{outcome}: {_mutmut(where, 'show', name) if arguments.show else name}")
    return 0


def _prepare(service: str, modules: Sequence[str]) -> Path:
    """A folder with copies of the service's package and of the unit tests that have the names of its rules' modules.
    These modules are to be changed.
    """
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
    changed = ", ".join(f'"src/dmp_{service}/domain/{module}.py"' for module in modules)
    (where / "pyproject.toml").write_text(_PROJECT.format(service=service, modules=changed))
    return where


def _make(where: Path) -> list[str]:
    """Makes the mutants and finds out which tests reach which function. Returns the names of the mutants."""
    # mutmut does both before it looks for the mutant that it is to run, and then fails because there is no such one.
    done = _run(where, "-m", "mutmut", "run", "--max-children", "1", _NO_MUTANT)
    if not (where / "mutants" / "mutmut-stats.json").exists():
        raise SystemExit(f"mutmut made no mutants:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return _MUTANT.findall(_mutmut(where, "results", "--all", "true"))


def _try(where: Path, mutants: Sequence[str], *, minutes: float) -> dict[str, str]:
    """What becomes of these mutants, of as many as can be tried in so long."""
    copies = where / "mutants"
    stats = json.loads((copies / "mutmut-stats.json").read_text())
    asked = {
        "mutants": mutants,
        "most_seconds": 60 * minutes,
        "reaching": stats["tests_by_mangled_function_name"],
        "seconds": stats["duration_by_test"],
    }
    (copies / "asked.json").write_text(json.dumps(asked))
    shutil.copy(_ROOT / "tests" / "mutant_trials.py", copies)
    done = _run(copies, "mutant_trials.py", "asked.json", "outcomes.json", "tests")
    if done.returncode != 0:
        raise SystemExit(f"the trials failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    outcomes: dict[str, str] = json.loads((copies / "outcomes.json").read_text())
    return outcomes


def _mutmut(where: Path, *arguments: str) -> str:
    """What mutmut prints."""
    done = _run(where, "-m", "mutmut", *arguments)
    if done.returncode != 0:
        raise SystemExit(f"mutmut {' '.join(arguments)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def _run(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder, after everybody else, with the packages in its `src` before the installed ones."""
    command = ["nice", "-n", "15", sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(where / "src")}
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)


def _table(service: str, mutants: Sequence[str], outcomes: Mapping[str, str]) -> str:
    """Mutants and survivors by module, as rows of a Markdown table."""
    made, tried, survived = (
        Counter(name.split(".x")[0].removeprefix(f"dmp_{service}.domain.") for name in names)
        for names in (mutants, outcomes, [name for name, outcome in outcomes.items() if outcome not in _NOTICED])
    )
    rows = [f"| {service} | mutants tried | of | survivors | share |", "|---|---|---|---|---|"]
    for module, count in sorted(tried.items()):
        rows.append(f"| `{module}` | {count} | {made[module]} | {survived[module]} | {survived[module] / count:.1%} |")
    share = survived.total() / max(1, tried.total())
    return "\n".join([*rows, f"| all | {tried.total()} | {made.total()} | {survived.total()} | {share:.1%} |"])


if __name__ == "__main__":
    raise SystemExit(main())
