"""`python -m bench`: starts a durable stack of its own, loads it, and prints a table and a JSON file.

    python -m bench                        the whole matrix: medians over 3 rounds of 8 s a case, 10 to 15 minutes
    python -m bench --quick                one round of 2 s a case, to see that everything works
    python -m bench --only json/1000       the cases whose name contains the text
    python -m bench --stored 10            also with 10 million events in the log

Every round visits the limits and then all cases in turn, so that a slow minute of the machine falls on all alike. A
case is not a figure unless every answer was right: each event accepted once or recognised, and `/stats` showing
exactly what was accepted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import report
from bench.cases import CASES, STORED_CASES, Case, chosen_cases
from bench.limits import CopyLimit, measure_empty_handler
from bench.load_client import LoadClient, LoadError
from bench.machine import describe_machine
from bench.measure import Measurement
from bench.system import System, WrongAnswerError
from bench.targets import promises, promises_table
from dmp_stack.errors import StackError

_EMPTY_HANDLER_CONNECTIONS = (1, 16, 64)


def main() -> int:
    """Returns the exit code: 0, or 1 if an answer was wrong or the load could not be sent."""
    options = _options()
    if options.list:
        print("\n".join(case.name for case in CASES))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the stack in order, as Ctrl-C does
    try:
        with tempfile.TemporaryDirectory(prefix="dmp-bench-") as directory:
            result = run(options, Path(directory))
    except (LoadError, StackError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nAll runs and medians: {options.out}")
    if result["failure"]:
        print(f"bench: stopped early: {result['failure']}", file=sys.stderr)
    return 1 if result["failure"] else 0


def run(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Measures what the options name and prints it. A failure ends the rounds; what was measured before it stands."""
    client = LoadClient(directory)
    machine = describe_machine(directory)
    print(report.machine_line(machine), flush=True)
    with System() as system:
        bench = _Bench(system, client, directory, options)
        failure = ""
        try:
            for number in range(options.runs):
                bench.round(f"round {number + 1} of {options.runs}")
            if options.stored:
                bench.fill_up(options.stored)
        except (LoadError, WrongAnswerError) as error:
            failure = str(error)
        return {
            "failure": failure,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "options": {"runs": options.runs, "seconds": options.seconds, "stored_million": options.stored},
            "machine": machine,
            **bench.result(),
        }


class _Bench:
    """The rounds and what they gave."""

    def __init__(self, system: System, client: LoadClient, directory: Path, options: argparse.Namespace) -> None:
        self._system = system
        self._client = client
        self._directory = directory
        self._options = options
        self._measurement = Measurement(system, client, directory=directory, seed=options.seed)
        self._copy: CopyLimit | None = None
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self._limits: dict[str, list[dict[str, Any]]] = {}

    def round(self, title: str) -> None:
        """Limits and cases, once each."""
        print(f"\n{title}", flush=True)
        if not self._options.no_limits:
            self._measure_limits()
        for case in chosen_cases(self._options.only):
            self._measure(case, case.name)

    def fill_up(self, millions: float) -> None:
        """Measures some cases again with that many million events in the log."""
        print(f"\nstoring {millions:g} million events", flush=True)
        self._measurement.fill_up(round(millions * 1e6))
        for _ in range(self._options.runs):
            for case in CASES:
                if case.name in STORED_CASES:
                    self._measure(case, f"{case.name} @{millions:g}M")

    def result(self) -> dict[str, Any]:
        """Prints the tables; returns runs and medians."""
        cases = {name: report.medians(runs) for name, runs in self._runs.items()}
        limits = [report.medians(runs) for runs in self._limits.values()]
        judged = promises(cases, limits)
        tables = [report.limits_table(limits), report.cases_table(cases), report.cpu_table(cases)]
        if cases:
            tables.append(report.memory_table([*cases.values()][-1]["memory_mib"]))
        if judged:
            tables.append(promises_table(judged))
        print("", *tables, sep="\n\n")
        return {
            "limits": {name: {"median": report.medians(runs), "runs": runs} for name, runs in self._limits.items()},
            "cases": {name: {"median": cases[name], "runs": runs} for name, runs in self._runs.items()},
        }

    def _measure(self, case: Case, name: str) -> None:
        figures = self._measurement.run(case, seconds=self._options.seconds)
        self._runs.setdefault(name, []).append(figures)
        print(f"  {name:<24} {figures['events_s']:>10,.0f} events/s   p99 {figures['p99_ms']:,.1f} ms", flush=True)

    def _measure_limits(self) -> None:
        if self._copy is None:
            self._measurement.fill_up(100_000)
            self._copy = CopyLimit(self._system.log)
        seconds = self._options.seconds / 2
        bare = measure_empty_handler(
            self._client, directory=self._directory, connections=_EMPTY_HANDLER_CONNECTIONS, seconds=seconds
        )
        own = measure_empty_handler(
            self._client, directory=self._directory, connections=(64,), seconds=seconds, own_gateway=True
        )
        for limit in [*self._copy.measure(), *bare, *own]:
            self._limits.setdefault(limit["name"], []).append(limit)
            print(f"  {limit['name']:<40} {limit['events_s']:>10,.0f} events/s", flush=True)


def _options() -> argparse.Namespace:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one round of 2 s a case")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="cases whose name contains one of these")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="rounds (default: 3, quick: 1)")
    parser.add_argument("--seconds", type=float, default=0.0, help="load per run (default: 8, quick: 2)")
    parser.add_argument("--stored", type=float, default=0.0, metavar="MILLIONS", help="then store so many and go on")
    parser.add_argument("--no-limits", action="store_true", help="leave the limits out")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic and its ids")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 3)
    options.seconds = options.seconds or (2.0 if options.quick else 8.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
