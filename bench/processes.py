"""CPU time and memory of the system's processes, read from /proc."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MEBIBYTE_IN_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU seconds by part of the system since its processes started.

    The parts are the names given to `read_usage`; PostgreSQL is split by database: `postgres/<database>` for the
    backends that serve it, `postgres/own` for checkpoints, WAL and vacuum, and for backends that have ended.
    """

    cpu_seconds: Mapping[str, float]

    def since(self, earlier: Usage) -> dict[str, float]:
        """CPU seconds spent after `earlier`, by part."""
        return {part: max(0.0, total - earlier.cpu_seconds.get(part, 0.0)) for part, total in self.cpu_seconds.items()}


def read_usage(pids: Mapping[str, int]) -> Usage:
    """The CPU time of each process in `pids` with all that it has started."""
    parts: dict[str, float] = {}
    for replica, pid in pids.items():
        name = _service(replica)
        for process in _family(pid):
            with contextlib.suppress(psutil.Error, OSError):
                part = _postgres_part(process) if name == "postgres" else name
                parts[part] = parts.get(part, 0.0) + _cpu_seconds(process.pid)
    return Usage(cpu_seconds=parts)


def read_memory(pids: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Resident memory in MiB by part: `rss` as the kernel counts it, `pss` with shared pages counted once in all."""
    memory: dict[str, dict[str, float]] = {}
    for replica, pid in pids.items():
        total = memory.setdefault(_service(replica), {"rss": 0.0, "pss": 0.0})
        for process in _family(pid):
            with contextlib.suppress(psutil.Error, OSError):
                for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                    label, _, rest = line.partition(":")
                    if label in ("Rss", "Pss"):
                        total[label.lower()] += int(rest.split()[0]) / _MEBIBYTE_IN_KIB
    return {name: {kind: round(value, 1) for kind, value in total.items()} for name, total in memory.items()}


def _service(replica: str) -> str:
    """The name of the part that a process belongs to: `ingest` of `ingest-2`."""
    return re.sub(r"-\d+$", "", replica)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_seconds(pid: int) -> float:
    """User and system time, with that of children that have ended (fields 14 to 17 of /proc/<pid>/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_SECOND


def _postgres_part(process: psutil.Process) -> str:
    """A backend's title reads `postgres: <cluster>: <role> <database> <client> <activity>`."""
    words = (process.cmdline() or [""])[0].split()
    if len(words) > 4 and words[0] == "postgres:" and words[4].startswith(("[local]", "127.", "::1")):
        return f"postgres/{words[3]}"
    return "postgres/own"
