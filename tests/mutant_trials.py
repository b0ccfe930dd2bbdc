"""Tries mutants: for each, which of the tests that reach it fails first? Run by `tests.mutants`, in its working copy.

Tests are collected once. Each mutant is tried in a process that is forked from there, because starting pytest costs
more than most trials.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

_NONE: Final = ""
"""The mutant that changes nothing."""
_NO_TEST: Final = "no test reaches it"
_SURVIVED: Final = "survived"
_OUT_OF_TIME: Final = "out of time"
_KILLED: Final = "killed"


class Trials:
    """A plugin of pytest that tries mutants in the place of running the tests once.

    mutants: their names, as mutmut gives them.
    most_seconds: after so long no further trial is begun.
    reaching: the names of the tests that reach each function.
    seconds: how long each test takes.
    outcomes: what became of each mutant.
    """

    def __init__(
        self,
        mutants: Sequence[str],
        most_seconds: float,
        reaching: dict[str, list[str]],
        seconds: dict[str, float],
    ) -> None:
        self._mutants = mutants
        self._most_seconds = most_seconds
        self._reaching = reaching
        self._seconds = seconds
        self.outcomes: dict[str, str] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Tries all mutants; none of the tests may fail without one."""
        tests = {item.nodeid: item for item in session.items}
        if _try(_NONE, session.items, sum(self._seconds.values())) != _SURVIVED:
            raise pytest.UsageError("a test fails although nothing is changed")
        ends = time.monotonic() + self._most_seconds
        for mutant in self._mutants:
            if time.monotonic() > ends:
                break
            names = sorted(self._reaching.get(mutant.rpartition("__mutmut_")[0], ()), key=self._seconds.__getitem__)
            seconds = sum(self._seconds[name] for name in names)
            self.outcomes[mutant] = _try(mutant, [tests[name] for name in names], seconds) if names else _NO_TEST
        return True


def _try(mutant: str, tests: Sequence[pytest.Item], seconds: float) -> str:
    """What becomes of a mutant; `seconds` is how long the tests take without it."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return _OUT_OF_TIME if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU) else _KILLED
        return _KILLED if os.waitstatus_to_exitcode(status) else _SURVIVED
    failed = True
    try:
        os.environ["MUTANT_UNDER_TEST"] = mutant
        limit = ceil(10 + 10 * seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        signal.alarm(10 * limit)
        failed = any(
            report.failed
            for test, following in zip(tests, [*tests[1:], None], strict=True)
            for report in runtestprotocol(test, nextitem=following, log=False)
        )
    finally:
        os._exit(failed)


def main() -> int:
    """Reads what to try from one file and writes what became of it to another."""
    source, target = map(Path, sys.argv[1:3])
    asked: dict[str, Any] = json.loads(source.read_text())
    trials = Trials(**asked)
    code = pytest.main(["-q", "-s", *sys.argv[3:]], plugins=[trials])
    target.write_text(json.dumps(trials.outcomes))
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
