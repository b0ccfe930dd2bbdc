"""What `track()` costs its caller, beside posthog's and segment's libraries: same machine, same run, in turn.

Each library has a process of its own on one core, and an address that takes connections and answers nothing. The
two others are installed from the package index into an environment of their own; without the index they are left out.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.figures import Figures

_ROOT: Final = Path(__file__).parents[1]
_PEERS: Final = ("posthog==7.91.1", "segment-analytics-python==2.4.0")
_FLOORS: Final = {"dmp, memory": 50_000.0, "dmp, spool": 20_000.0}
_SLOWEST_US: Final = 1000.0


def measure_tracking(figures: Figures, directory: Path, *, events: int, runs: int) -> None:
    """Notes calls a second of CPU time and of the clock, and the p99.9 of one call by both, for each library."""
    peers = _peers(directory)
    libraries = {"dmp, memory": sys.executable, "dmp, spool": sys.executable}
    if peers is not None:
        libraries |= {"posthog": str(peers), "segment": str(peers)}
    measured: dict[str, list[dict[str, float]]] = {library: [] for library in libraries}
    for number in range(runs):
        for library, python in libraries.items():
            place = directory / f"track-{number}"
            place.mkdir(exist_ok=True)
            measured[library].append(_run(python, library, events, place))
    for library, found in measured.items():
        cpu = statistics.median(events / one["cpu"] for one in found)
        wall = statistics.median(events / one["seconds"] for one in found)
        floor = _FLOORS.get(library)
        figures.note(f"{library}: track() a second of CPU", "/s", [cpu], floor=floor, target=floor)
        figures.note(f"{library}: track() a second of the clock", "/s", [wall])
        for name, key, target in (
            ("p99.9 of one call, its own work", "p999_cpu_us", _SLOWEST_US if floor else None),
            ("p99.9 of one call, by the clock", "p999_us", None),  # other processes take the core, too
        ):
            figures.note(f"{library}: {name}", "us", [statistics.median(one[key] for one in found)], target=target)


def _run(python: str, library: str, events: int, directory: Path) -> dict[str, float]:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [python, str(_ROOT / "bench" / "track_worker.py"), library, str(events), address, str(directory)],
            env={**os.environ, "PYTHONPATH": str(_ROOT / "clients" / "python" / "src")},
            stdout=subprocess.PIPE,
            timeout=300,
            check=True,
            text=True,
        )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _peers(directory: Path) -> Path | None:
    """The Python of an environment that has the other libraries; None if they cannot be had."""
    uv = Path(sys.executable).with_name("uv")
    python = directory / "peers" / "bin" / "python"
    for command in (
        [str(uv), "venv", "--quiet", "--python", sys.executable, str(python.parents[1])],
        [str(uv), "pip", "install", "--quiet", "--python", str(python), *_PEERS],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"  the other libraries are left out: {done.stderr.strip().splitlines()[-1:]}", flush=True)
            return None
    return python
