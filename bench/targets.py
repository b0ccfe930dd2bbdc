"""What the product promises on two cores, with the client on the same machine, durable, and all three services up to
date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A figure with the least it must be (`floor`) and what is aimed for (`target`). `at_most`: smaller is better."""

    name: str
    measured: float
    floor: float
    target: float
    at_most: bool = False

    @property
    def verdict(self) -> str:
        if self.at_most:
            return "target" if self.measured <= self.target else "floor" if self.measured <= self.floor else "MISSED"
        return "target" if self.measured >= self.target else "floor" if self.measured >= self.floor else "MISSED"


def promises(cases: Mapping[str, Mapping[str, Any]], limits: Sequence[Mapping[str, Any]]) -> list[Promise]:
    """Every promise that the measured cases allow to judge."""
    rates = {name: case["events_s"] for name, case in cases.items()}
    limit = {entry["name"]: entry["events_s"] for entry in limits}
    found: list[Promise] = []

    def judge(name: str, measured: float | None, floor: float, target: float, *, at_most: bool = False) -> None:
        if measured is not None:
            found.append(Promise(name=name, measured=measured, floor=floor, target=target, at_most=at_most))

    def ratio(one: float | None, other: float | None) -> float | None:
        return one / other if one is not None and other else None

    large = _best(rates, "json/1000/c8", "json/1000/c16")
    single = rates.get("json/1/c64")
    copy = max((rate for name, rate in limit.items() if name.startswith("COPY, no index")), default=None)
    judge("JSON, 1000 a request, events/s", large, 25_000, 50_000)
    judge("JSON, 1000 a request, of bare COPY", ratio(large, copy), 0, 0.5)
    judge("JSON, single at 64 connections, events/s", single, 1_400, 1_400)
    judge("JSON, single at 64, of the empty handler", ratio(single, limit.get("empty handler/c64")), 0, 0.85)
    for connections, floor, target in ((64, 0.40, 0.55), (512, 0.65, 0.75)):
        bare = limit.get(f"own gateway, empty handler/c{connections}")
        judge(
            f"JSON, single at {connections}, of our own gateway with an empty handler",
            ratio(rates.get(f"json/1/c{connections}"), bare),
            floor,
            target,
        )
    judge("JSON, single at 64, p99 ms", cases.get("json/1/c64", {}).get("p99_ms"), 150, 100, at_most=True)
    judge("gRPC, 1000 a request, events/s", _best(rates, "grpc/1000/c8", "grpc/1000/c16"), 30_000, 60_000)
    judge("100 % duplicates, of new ones", ratio(rates.get("json/1000/c8/dup100"), rates.get("json/1000/c8")), 1, 2)
    for name, rate in rates.items():
        case, _, stored = name.partition(" @")
        if stored:
            judge(f"{case} at {stored}, of empty", ratio(rate, rates.get(case)), 0.7, 0.9)
    return found


def _best(rates: Mapping[str, float], *cases: str) -> float | None:
    """The highest rate among some cases that differ in their connections only."""
    return max((rates[case] for case in cases if case in rates), default=None)


def promises_table(judged: Sequence[Promise]) -> str:
    """One promise a line."""
    width = max((len(promise.name) for promise in judged), default=0)
    lines = [f"{'promise'.ljust(width)}  measured     floor    target  reached"]
    for promise in judged:
        figures = "  ".join(
            f"{value:>8,.0f}" if abs(value) >= 100 else f"{value:>8.2f}"
            for value in (promise.measured, promise.floor, promise.target)
        )
        lines.append(f"{promise.name.ljust(width)}  {figures}  {promise.verdict}")
    return "\n".join(lines)
