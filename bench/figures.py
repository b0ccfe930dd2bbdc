"""Figures of the identity and statistics benchmarks: taken down one by one, printed at once, judged at the end."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.targets import Promise


class Figures:
    """What was measured, in order. `rows` is what goes into the JSON file."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def note(
        self,
        name: str,
        unit: str,
        values: Sequence[float],
        *,
        floor: float | None = None,
        target: float | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes a figure down and prints it: the only value, or median, p99 and worst of many.

        floor, target: the least it must be and what is aimed for; of many values the p99 is judged. A rate (a unit that
        ends with /s) is the better the larger it is, anything else the smaller. more: goes into the file.
        """
        ordered = sorted(values)
        row: dict[str, Any] = {"name": name, "unit": unit, "median": statistics.median(ordered)}
        shown = f"{row['median']:12,.2f}"
        if len(ordered) > 1:
            row |= {"p99": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))], "worst": ordered[-1]}
            row["samples"] = len(ordered)
            shown += f"  p99 {row['p99']:10,.2f}  worst {row['worst']:10,.2f}"
        if target is not None:
            row |= {"floor": target if floor is None else floor, "target": target}
        self.rows.append(row | dict(more or {}))
        extra = "  ".join(f"{key} {value}" for key, value in (more or {}).items())
        print(f"  {name:58} {shown:48} {unit:9} {extra}".rstrip(), flush=True)

    def promises(self) -> list[Promise]:
        """Those figures that have a target."""
        return [
            Promise(
                name=f"{row['name']}, {row['unit']}",
                measured=row.get("p99", row["median"]),
                floor=row["floor"],
                target=row["target"],
                at_most=not row["unit"].endswith("/s"),
            )
            for row in self.rows
            if "target" in row
        ]
