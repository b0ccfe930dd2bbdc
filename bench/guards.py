"""What keys, TLS and second replicas cost: each such case beside the same load without them, round by round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.cases import CASES, Case
from bench.report import aligned
from bench.targets import Promise

_MOST_LOST: Final = {"json/1/c64": 0.08, "json/1000/c16": 0.02}
"""The share that keys and TLS may take, by the load."""
_MOST_LOST_TO_REPLICAS: Final = 0.15
"""The share that a second process of each service may take on a machine that one of each keeps busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLoss:
    """The shares of the plain system's events that another one does not do, one for each round.

    by_clock: of the events a second, on a machine that also runs the client. by_cpu: of the events that the system's
    processes do in a second of their CPU time, which other programs disturb much less.
    """

    case: Case
    by_clock: Sequence[float]
    by_cpu: Sequence[float]

    def promises(self) -> list[Promise]:
        """What is promised of keys with TLS and of second replicas; nothing of keys alone."""
        most = _MOST_LOST.get(self.case.plain) if self.case.tls else None
        if self.case.replicas > 1:
            most = _MOST_LOST_TO_REPLICAS
        if most is None:
            return []
        kinds = (("by the clock", self.by_clock), ("by CPU time", self.by_cpu))
        return [
            Promise(
                name=f"{self.case.name}, lost {kind}",
                measured=statistics.median(shares),
                floor=most,
                target=most,
                at_most=True,
            )
            for kind, shares in kinds
        ]


def guard_losses(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[GuardLoss]:
    """Of each case with keys, TLS or replicas that was measured in the same rounds as its load without them.

    runs: by the name of a case, what each round gave.
    """
    losses = []
    for case in CASES:
        plain, guarded = runs.get(case.plain, ()), runs.get(case.name, ())
        if case.name != case.plain and plain and guarded:
            pairs = list(zip(plain, guarded, strict=False))
            losses.append(
                GuardLoss(
                    case=case,
                    by_clock=[1 - with_guards["events_s"] / without["events_s"] for without, with_guards in pairs],
                    by_cpu=[1 - _cpu(without) / _cpu(with_guards) for without, with_guards in pairs],
                )
            )
    return losses


def losses_table(losses: Sequence[GuardLoss]) -> str:
    """Median, least and most over the rounds, in percent; a negative loss is a gain."""
    rows = [["lost to keys, TLS and replicas, %", "by clock", "least", "most", "by CPU", "least", "most"]]
    for loss in losses:
        cells = []
        for shares in (loss.by_clock, loss.by_cpu):
            cells += [f"{share * 100:.1f}" for share in (statistics.median(shares), min(shares), max(shares))]
        rows.append([loss.case.name, *cells])
    return aligned(rows)


def _cpu(run: Mapping[str, Any]) -> float:
    """CPU microseconds of the whole system for one event; the client's are not among them."""
    return float(sum(run["cpu_us_per_event"].values()))
