"""Long work in slices: how many rows to take at once, and how long to pause after them."""

from __future__ import annotations

from typing import Final

_LEAST_ROWS: Final = 500
_FASTER: Final = 2.0
_LEAST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
"""Both pauses are parts of the time that the slice took."""


class Slices:
    """Chooses the size of the next slice from the time that the last one took.

    rows: how many rows to take now. Others wait for a slice: for its locks, for its share of the write-ahead log, for
    the processor. So slices aim at `target_seconds`, whatever a row costs and however busy the machine is.
    """

    def __init__(self, *, first_rows: int = 1_000, most_rows: int = 5_000, target_seconds: float = 0.05) -> None:
        self.rows = first_rows
        self._most_rows = most_rows
        self._target_seconds = target_seconds
        self._cheapest_row: float | None = None

    def took(self, rows: int, seconds: float) -> float:
        """Learns what a slice of so many rows took; returns for how many seconds to pause before the next one.

        A row that costs more than the cheapest so far tells that others work, too: the pause is a tenth of the slice's
        time on a machine that nobody else uses, and as long as the slice where a row costs twice as much.
        """
        if not rows or seconds <= 0:
            return 0.0
        cost = seconds / rows
        self._cheapest_row = cost if self._cheapest_row is None else min(cost, self._cheapest_row)
        factor = min(_FASTER, max(1 / _FASTER, self._target_seconds / seconds))
        if factor < 1 or rows >= self.rows:
            self.rows = min(self._most_rows, max(_LEAST_ROWS, int(self.rows * factor)))
        return seconds * min(_LONGEST_PAUSE, max(_LEAST_PAUSE, cost / self._cheapest_row - 1))
