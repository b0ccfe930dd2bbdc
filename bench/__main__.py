"""`python -m bench`: starts durable systems of its own, loads them, and prints tables and a JSON file.

    python -m bench                        everything: medians over 3 rounds of 8 s a case, about 35 minutes
    python -m bench --quick                one round of 2 s a case and little data, to see that everything works
    python -m bench --parts ingest         one or several of ingest (the whole system under events), identity and stats
    python -m bench --parts observing      what metrics and traces cost: CPU for each event with and without them
    python -m bench --parts disk           what a million events take on disk and in Valkey, table by table
    python -m bench --only json/1000       of ingest's cases those whose name contains the text, and nothing else
    python -m bench --stored 10            ingest also with 10 million events in the log
    python -m bench --no-limits --runs 5 --only json/1/c64 json/1000/c16     what keys and TLS cost, and a second
                                           process of each service, beside the same loads without them

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
from bench.catch_up import measure_catch_up
from bench.disk import measure_disk
from bench.erasures import measure_erasures
from bench.figures import Figures
from bench.guards import guard_losses, losses_table
from bench.identity_graph import measure_identity
from bench.limits import CopyLimit, measure_empty_handler
from bench.load_client import LoadClient, LoadError
from bench.machine import describe_machine
from bench.measure import Measurement
from bench.observing import measure_observing
from bench.publishing import measure_publishing
from bench.stats_scale import measure_stats
from bench.system import System, WrongAnswerError
from bench.targets import Promise, promises, promises_table
from bench.tracking import measure_tracking
from bench.yardstick import Yardstick
from deploy.certificates.make_certificates import make_certificates
from dmp_stack.errors import StackError
from dmp_stack.settings import CONTEXTS

_PARTS = ("ingest", "identity", "stats", "catch-up", "erasures", "client", "observing", "disk")
_ENTRIES = 1_000_000
_STORED = 300_000
_TRACKED = 50_000
_EMPTY_HANDLER_CONNECTIONS = (1, 16, 64)
_OWN_GATEWAY_CONNECTIONS = (64, 512)


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
    """Measures what the options name and prints it. A failure ends the measuring; what was measured before stands."""
    machine = describe_machine(directory)
    print(report.machine_line(machine), flush=True)
    measured: dict[str, Any] = {"limits": {}, "cases": {}}
    figures, failure = Figures(), ""
    judged: list[Promise] = []
    try:
        if "ingest" in options.parts:
            measured, judged = _measure_ingest(options, directory)
        if "identity" in options.parts:
            print("\nidentity", flush=True)
            measure_identity(figures, scale=options.scale)
        if "stats" in options.parts:
            print("\nstats", flush=True)
            measured["stats_memory_mib"] = measure_stats(figures, scale=options.scale)
        if "catch-up" in options.parts:
            print("\ncatch-up", flush=True)
            measure_catch_up(figures, directory, runs=options.runs, seconds=options.seconds, seed=options.seed)
        if "erasures" in options.parts:
            print("\nerasures", flush=True)
            measure_erasures(figures, entries=max(1000, round(_ENTRIES * options.scale)))
        if "observing" in options.parts:
            print("\nobserving", flush=True)
            measure_observing(figures, directory, seconds=options.seconds, runs=options.runs, seed=options.seed)
        if "disk" in options.parts:
            print("\ndisk", flush=True)
            measure_disk(figures, directory, events=max(10_000, round(_STORED * options.scale)), seed=options.seed)
        if "client" in options.parts:
            print("\nclient", flush=True)
            measure_tracking(figures, directory, events=round(_TRACKED * options.scale), runs=options.runs)
            measure_publishing(figures, events=round(_TRACKED * options.scale), runs=options.runs)
    except (LoadError, WrongAnswerError, AssertionError) as error:
        failure = str(error) or type(error).__name__
    judged += figures.promises()
    if judged:
        print("", promises_table(judged), sep="\n\n")
    return {
        "failure": measured.pop("failure", "") or failure,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": {
            "parts": options.parts,
            "runs": options.runs,
            "seconds": options.seconds,
            "stored_million": options.stored,
            "scale": options.scale,
        },
        "machine": machine,
        **measured,
        "figures": figures.rows,
        "promises": [
            {
                "name": promise.name,
                "measured": promise.measured,
                "floor": promise.floor,
                "target": promise.target,
                "reached": promise.verdict,
            }
            for promise in judged
        ],
    }


def _measure_ingest(options: argparse.Namespace, directory: Path) -> tuple[dict[str, Any], list[Promise]]:
    """The whole system under events: runs and medians, and what they mean for the promises."""
    with Yardstick() as yardstick:
        bench = _Bench(LoadClient(directory), directory, yardstick, options)
        failure = ""
        try:
            for number in range(options.runs):
                bench.round(number + 1)
            if options.stored:
                bench.fill_up(options.stored)
        except (LoadError, WrongAnswerError) as error:
            failure = str(error)
        result, judged = bench.result()
    return {"failure": failure, **result}, judged


class _Bench:
    """The rounds and what they gave."""

    def __init__(
        self,
        client: LoadClient,
        directory: Path,
        yardstick: Yardstick,
        options: argparse.Namespace,
    ) -> None:
        self._yardstick = yardstick
        self._client = client
        self._directory = directory
        self._options = options
        self._measurement = Measurement(client, directory=directory, seed=options.seed)
        self._copy: CopyLimit | None = None
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self._limits: dict[str, list[dict[str, Any]]] = {}

    def round(self, number: int) -> None:
        """Limits and cases, once each, every case on a new system: what others stored makes none of them slower. Every
        second round goes backwards: what grows slower by itself does not always fall on the same cases."""
        print(f"\nround {number} of {self._options.runs}", flush=True)
        if not self._options.no_limits:
            self._measure_limits()
        cases = chosen_cases(self._options.only)
        for case in cases if number % 2 else reversed(cases):
            certificates = self._certificates() if case.tls or case.mutual else None
            replicas = dict.fromkeys(CONTEXTS, case.replicas)
            with System(api_keys=case.keys, certificates=certificates, mutual=case.mutual, replicas=replicas) as system:
                self._measurement.use(system)
                self._measure(case, case.name)

    def fill_up(self, millions: float) -> None:
        """Measures some cases again with that many million events in the log."""
        print(f"\nstoring {millions:g} million events", flush=True)
        with System() as system:
            self._measurement.use(system)
            self._measurement.fill_up(round(millions * 1e6))
            for _ in range(self._options.runs):
                for case in CASES:
                    if case.name in STORED_CASES:
                        self._measure(case, f"{case.name} @{millions:g}M")

    def result(self) -> tuple[dict[str, Any], list[Promise]]:
        """Prints the tables; returns runs and medians, and the promises that they allow to judge."""
        cases = {name: report.medians(runs) for name, runs in self._runs.items()}
        limits = [report.medians(runs) for runs in self._limits.values()]
        losses = guard_losses(self._runs)
        tables = [report.limits_table(limits), report.cases_table(cases), report.cpu_table(cases)]
        tables += [losses_table(losses)] if losses else []
        if cases:
            tables.append(report.memory_table([*cases.values()][-1]["memory_mib"]))
        print("", *tables, sep="\n\n")
        result = {
            "limits": {name: {"median": report.medians(runs), "runs": runs} for name, runs in self._limits.items()},
            "cases": {name: {"median": cases[name], "runs": runs} for name, runs in self._runs.items()},
        }
        return result, promises(cases, limits) + [promise for loss in losses for promise in loss.promises()]

    def _measure(self, case: Case, name: str) -> None:
        before = self._yardstick.measure()
        figures = self._measurement.run(case, seconds=self._options.seconds)
        figures["yardstick"] = (before + self._yardstick.measure()) / 2
        self._runs.setdefault(name, []).append(figures)
        print(f"  {name:<24} {figures['events_s']:>10,.0f} events/s   p99 {figures['p99_ms']:,.1f} ms", flush=True)

    def _certificates(self) -> Path:
        directory = self._directory / "certificates"
        make_certificates(directory)
        return directory

    def _measure_limits(self) -> None:
        with System() as system:
            if self._copy is None:
                self._measurement.use(system)
                self._copy = CopyLimit(system.log)
            copies = self._copy.measure(system.log)
        seconds = self._options.seconds / 2
        bare = measure_empty_handler(
            self._client, directory=self._directory, connections=_EMPTY_HANDLER_CONNECTIONS, seconds=seconds
        )
        own = measure_empty_handler(
            self._client,
            directory=self._directory,
            connections=_OWN_GATEWAY_CONNECTIONS,
            seconds=seconds,
            own_gateway=True,
        )
        for limit in [*copies, *bare, *own]:
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
    parser.add_argument(
        "--parts", nargs="+", choices=_PARTS, default=[], metavar="PART", help=f"of {', '.join(_PARTS)} (default: all)"
    )
    parser.add_argument("--scale", type=float, default=0.0, help="data of identity and stats (default: 1, quick: 0.01)")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="cases whose name contains one of these")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="rounds (default: 3, quick: 1)")
    parser.add_argument("--seconds", type=float, default=0.0, help="load per run (default: 8, quick: 2)")
    parser.add_argument("--stored", type=float, default=0.0, metavar="MILLIONS", help="then store so many and go on")
    parser.add_argument("--no-limits", action="store_true", help="leave the limits out")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic and its ids")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    options = parser.parse_args()
    options.parts = options.parts or (["ingest"] if options.only else list(_PARTS))
    options.scale = options.scale or (0.01 if options.quick else 1.0)
    options.runs = options.runs or (1 if options.quick else 3)
    options.seconds = options.seconds or (2.0 if options.quick else 8.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
