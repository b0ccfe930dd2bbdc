"""`python -m bench.in_turn OTHER`: measures this checkout and another one in turn, and prints the ratios.

    python -m bench.in_turn ../dmp-before --only json/1/c64 json/1000/c16
    python -m bench.in_turn ../dmp-before --parts identity --rounds 5

Each round runs the benchmark of either checkout once, with the Python of its own `.venv`; which goes first changes
with every round. A slow minute of the machine then falls on both alike. The other checkout may be older: cases and
figures that only one of them has are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report import aligned

_HERE = Path(__file__).resolve().parent.parent


class _RunError(Exception):
    """A benchmark failed. The text is for people."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout of the project with its virtual environment, and what its runs gave by name."""

    name: str
    root: Path
    values: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, arguments: Sequence[str], directory: Path) -> None:
        """Runs its benchmark for one round and notes each rate and figure. Raises _RunError."""
        out = directory / "bench.json"
        out.unlink(missing_ok=True)
        python = self.root / ".venv" / "bin" / "python"
        argv = [str(python), "-m", "bench", "--runs", "1", "--no-limits", "--out", str(out), *arguments]
        try:
            subprocess.run(argv, cwd=self.root, check=True, stdout=subprocess.DEVNULL)
        except OSError as error:
            raise _RunError(f"{self.name}: {python} cannot be run: {error.strerror}") from None
        except subprocess.CalledProcessError as error:
            raise _RunError(f"{self.name}: its benchmark ended with {error.returncode}") from None
        for name, value in values_of(json.loads(out.read_text())).items():
            self.values.setdefault(name, []).append(value)


def values_of(result: Mapping[str, Any]) -> dict[str, float]:
    """What one run gave, by name: of each case its rate, p99 and CPU, of each figure its median.

    result: the content of the JSON file that `python -m bench` writes.
    """
    values: dict[str, float] = {}
    for name, case in result.get("cases", {}).items():
        median = case["median"]
        values[f"{name}, events/s"] = median["events_s"]
        values[f"{name}, p99 ms"] = median["p99_ms"]
        values[f"{name}, CPU us an event"] = sum(median["cpu_us_per_event"].values())
    for row in result.get("figures", []):
        values[f"{row['name']}, {row['unit']}"] = row["median"]
    return values


def compared(ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]) -> str:
    """A table: the median of each, and ours divided by theirs, of all rounds and of each round alone."""
    rows = [["median", "this", "other", "this / other", "least", "most"]]
    for name, values in ours.items():
        pairs = list(zip(values, theirs.get(name, ()), strict=False))
        ratios = [mine / other for mine, other in pairs if other]
        if ratios:
            medians = [statistics.median(mine for mine, _ in pairs), statistics.median(other for _, other in pairs)]
            of_ratios = (statistics.median(ratios), min(ratios), max(ratios))
            rows.append([name, *(f"{value:,.2f}" for value in medians), *(f"{ratio:.3f}" for ratio in of_ratios)])
    return aligned(rows)


def main() -> int:
    """Returns the exit code: 0, or 1 if a benchmark failed."""
    options = _options()
    ours, theirs = Checkout("this checkout", _HERE), Checkout("the other checkout", options.other.resolve())
    arguments = ["--parts", *options.parts, "--seconds", str(options.seconds), "--scale", str(options.scale)]
    if options.only:
        arguments += ["--only", *options.only]
    try:
        with tempfile.TemporaryDirectory(prefix="dmp-in-turn-") as directory:
            for number in range(options.rounds):
                for checkout in (ours, theirs) if number % 2 else (theirs, ours):
                    print(f"round {number + 1} of {options.rounds}: {checkout.name}", file=sys.stderr, flush=True)
                    checkout.measure(arguments, Path(directory))
    except _RunError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(compared(ours.values, theirs.values))
    return 0


def _options() -> argparse.Namespace:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench.in_turn",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("other", type=Path, metavar="OTHER", help="the other checkout, with a .venv of its own")
    parser.add_argument("--parts", nargs="+", default=["ingest"], metavar="PART", help="as of python -m bench")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="cases whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each checkout (default: 3)")
    parser.add_argument("--seconds", type=float, default=8.0, help="load per run (default: 8)")
    parser.add_argument("--scale", type=float, default=1.0, help="data of identity and stats (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
