"""The window as one version of the reference table sees it: events added up by second and value.

A read adds up at most `retention` rows of each attribute, however many events there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from dmp_stats.domain.cells import Ints
from dmp_stats.domain.reference import ReferenceSnapshot

MOST_LISTED_VALUES: Final = 1_000
"""Of an attribute with more values than this, an answer lists those with most events."""
_MOST_RING_VALUES: Final = 4_096
"""An attribute with more values than this has no ring: that would take too much memory."""


class WindowView:
    """Events by second and value, in one ring for each attribute.

    A ring has a row for each second of the window (the second modulo the number of rows) and a column for each value.
    """

    def __init__(self, snapshot: ReferenceSnapshot, names: Collection[str], retention: int) -> None:
        self.snapshot = snapshot
        self.names = frozenset(names)
        self.listed = {name: snapshot.listed(name) for name in self.names}
        """For each attribute the values that at least one user has, and the column of each."""
        self._retention = retention
        # Column 0 of an attribute is "has none". Column 0 of membership is "unknown".
        self._membership = np.zeros((retention, 2), np.int32)
        self._rings: dict[str, npt.NDArray[np.int32]] = {}
        for name in self.names:
            attribute = snapshot.attributes.get(name)
            if attribute is not None and len(attribute.values) <= _MOST_RING_VALUES:
                self._rings[name] = np.zeros((retention, len(attribute.values) + 1), np.int32)

    def add(self, seconds: Ints, users: Ints) -> None:
        """Counts events: for each the second, which lies in the window, and the number of its user."""
        rows = seconds % self._retention
        _count(self._membership, rows, self.snapshot.is_known[users].astype(np.int64))
        for name, ring in self._rings.items():
            _count(ring, rows, self.snapshot.attributes[name].codes[users].astype(np.int64) + 1)

    def clear(self, rows: Ints) -> None:
        """Empties the rows of seconds that have left the window."""
        self._membership[rows] = 0
        for ring in self._rings.values():
            ring[rows] = 0

    def membership(self, rows: Ints) -> tuple[int, int]:
        """Events of unknown and of known users in these rows."""
        unknown, known = self._membership[rows].sum(axis=0, dtype=np.int64).tolist()
        return unknown, known

    def counts(self, name: str, rows: Ints) -> Ints | None:
        """Events in these rows by column of the value; None if this attribute has no ring."""
        ring = self._rings.get(name)
        return None if ring is None else ring[rows].sum(axis=0, dtype=np.int64)[1:]


def _count(ring: npt.NDArray[np.int32], rows: Ints, columns: Ints) -> None:
    places = rows * ring.shape[1] + columns
    if len(places) * 4 > ring.size:
        ring += np.bincount(places, minlength=ring.size).reshape(ring.shape).astype(np.int32)
    else:
        np.add.at(ring.reshape(-1), places, np.int32(1))


def listed_counts(values: Mapping[str, int], counts: Ints) -> dict[str, int]:
    """Events by value, in the order of the values.

    Of more than MOST_LISTED_VALUES values those with most events are listed; among equals, the ones that the table has
    had for longer.

    values: the position of each value in `counts`, in ascending order. There may be as many values as users: then the
    work is done in numpy.
    """
    if len(values) <= MOST_LISTED_VALUES:
        return {value: int(counts[values[value]]) for value in sorted(values)}
    counted = counts[np.fromiter(values.values(), np.int64, len(values))]
    most = np.argsort(-counted, kind="stable")[:MOST_LISTED_VALUES].tolist()
    names = list(values)
    return {names[index]: int(counted[index]) for index in sorted(most, key=names.__getitem__)}
