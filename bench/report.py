"""Medians over the rounds, the table for people and the JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PARTS = (
    ("gateway", "gateway"),
    ("ingest", "ingest"),
    ("postgres/dmp_ingest", "pg"),
    ("identity", "identity"),
    ("postgres/dmp_identity", "pg"),
    ("stats", "stats"),
    ("postgres/dmp_stats", "pg"),
    ("postgres/own", "pg own"),
    ("valkey", "valkey"),
)


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of every number, also inside; everything else as in the last run."""
    combined: dict[str, Any] = {}
    for key, last in runs[-1].items():
        values = [run[key] for run in runs if key in run]
        if isinstance(last, Mapping):
            combined[key] = medians(values)
        elif isinstance(last, (int, float)) and not isinstance(last, bool):
            combined[key] = _rounded(statistics.median(values))
        else:
            combined[key] = last
    return combined


def machine_line(machine: Mapping[str, Any]) -> str:
    """One line on what it ran on."""
    flush = machine["flush_ms"]
    return (
        f"{machine['cores']} cores {machine['cpu']}, {machine['memory_gib']} GiB, kernel {machine['kernel']}, "
        f"Python {machine['python']}, commit {machine['commit']}, load average {machine['load_average']}, "
        f"flush {flush['median']} ms (p95 {flush['p95']}), SHA-256 {machine['sha256_mb_s']} MB/s a core"
    )


def limits_table(limits: Iterable[Mapping[str, Any]]) -> str:
    """The limits, one a line."""
    rows = [["limit", "events/s", "p50 ms", "p95 ms", "p99 ms", "CPU us/event"]]
    for limit in limits:
        cpu = " + ".join(f"{part} {spent:.0f}" for part, spent in limit.get("cpu_us_per_event", {}).items())
        latencies = [_number(limit.get(f"{name}_ms")) for name in ("p50", "p95", "p99")]
        rows.append([limit["name"], f"{limit['events_s']:,.0f}", *latencies, cpu])
    return aligned(rows)


def cases_table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """Rates and latencies, one case a line; `a batch`: new events in one committed group; `yardstick`: how fast the
    machine was just before and after."""
    rows = [
        [
            "case",
            "events/s",
            "requests/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "catch-up s",
            "applied",
            "a batch",
            "WAL B/event",
            "yardstick",
        ]
    ]
    for name, case in cases.items():
        latencies = [_number(case[f"{kind}_ms"]) for kind in ("p50", "p95", "p99", "max")]
        rates = [f"{case['events_s']:,.0f}", f"{case['requests_s']:,.0f}"]
        applied = [f"{case['catch_up_s']:.2f}", f"{case['applied_share']:.0%}"]
        stored = [_number(case["events_per_batch"]), _number(case["wal_bytes_per_event"])]
        rows.append([name, *rates, *latencies, *applied, *stored, _number(case["yardstick"])])
    return aligned(rows)


def cpu_table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """CPU microseconds per event by process; `pg` is PostgreSQL's share for the service to its left."""
    rows = [["CPU us/event", *(label for _, label in _PARTS), "all", "client"]]
    for name, case in cases.items():
        cpu = case["cpu_us_per_event"]
        row = [_number(cpu.get(part, 0.0)) for part, _ in _PARTS]
        rows.append([name, *row, _number(sum(cpu.values())), _number(case["client_cpu_us_per_event"])])
    return aligned(rows)


def memory_table(memory: Mapping[str, Mapping[str, float]]) -> str:
    """Resident memory at the end; shared pages are counted once under `PSS`, in every process under `RSS`."""
    rows = [["memory MiB", "RSS", "PSS"]]
    rows += [[name, _number(kinds["rss"]), _number(kinds["pss"])] for name, kinds in memory.items()]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines of text: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _number(value: float | None) -> str:
    """Three significant digits or so."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _rounded(value: float) -> float:
    return round(value, 4) if abs(value) < 100 else round(value, 1)
