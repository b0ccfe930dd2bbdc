"""How fast a consumer that was away catches up, beside the rate at which events are applied when nobody is away:
`python -m bench --parts catch-up`.

A consumer is stopped, the load of a case is sent, and the consumer is started again. The clock runs from the moment at
which it serves until it has applied every batch; nothing else is sent meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.cases import Case
from bench.figures import Figures
from bench.load_client import LoadClient
from bench.measure import Measurement
from bench.system import System

_CASES: Final = (
    Case(transport="json", batch=1, connections=64),
    Case(transport="json", batch=1000, connections=16),
)
"""Small batches, of which most of the cost is the transaction, and large ones."""
_FLOORS: Final = {"stats": (1.0, 1.5), "identity": (0.8, 1.0)}
"""Floor and target, as a share of the rate when nobody is away."""


def measure_catch_up(figures: Figures, directory: Path, *, runs: int, seconds: float, seed: int) -> None:
    """Notes both rates for each case and consumer. Raises WrongAnswerError, and LoadError.

    seconds: for so long each case is sent.
    """
    measurement = Measurement(LoadClient(directory), directory=directory, seed=seed)
    for case in _CASES:
        rates: dict[str, list[float]] = {"live": [], **{consumer: [] for consumer in _FLOORS}}
        for _ in range(runs):
            with System() as system:
                measurement.use(system)
                rates["live"].append(measurement.run(case, seconds=seconds)["events_s"])
                for consumer in _FLOORS:
                    rates[consumer].append(measurement.catch_up(case, consumer, seconds=seconds))
        live = sorted(rates["live"])[runs // 2]
        figures.note(f"{case.name}, nobody is away, events", "/s", [live])
        for consumer, (floor, target) in _FLOORS.items():
            rate = sorted(rates[consumer])[runs // 2]
            figures.note(
                f"{case.name}, {consumer} catches up, events",
                "/s",
                [rate],
                floor=floor * live,
                target=target * live,
                more={"of the live rate": round(rate / live, 2)},
            )
