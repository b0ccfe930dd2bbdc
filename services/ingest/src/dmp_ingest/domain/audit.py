"""Decides which cells of an audit differ: compares what the log has with what was counted from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar


class CellKey(NamedTuple):
    """What one cell is about."""

    campaign_id: str
    minute: int
    """Whole minutes since 1970 UTC."""
    type: str


class CellSum(NamedTuple):
    """What a cell has. Equal sets of events have equal sums."""

    events: int
    """How many events there are."""
    digest: bytes
    """The XOR of their 16-byte keys."""


class MinuteSum(NamedTuple):
    """What a minute has of events that name a person."""

    events: int
    """How many events there are."""
    digest: int
    """The XOR of the first eight bytes of the MD5 digests of their ids."""


CellSums: TypeAlias = Mapping[CellKey, CellSum]

Key = TypeVar("Key", CellKey, int)
Sum = TypeVar("Sum", CellSum, MinuteSum)

NOTHING: Final = CellSum(0, bytes(16))
"""The sum of a cell without events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Generic[Key]):
    """The outcome of a comparison. Cells that are in neither list are equal."""

    differing: list[Key]
    """The cells that are wrong, in order."""
    open: set[Key]
    """The cells that cannot be judged yet: events for them were on their way."""


def compare(
    *, before: Mapping[Key, Sum], logged: Mapping[Key, Sum], on_their_way: Collection[Key], after: Mapping[Key, Sum]
) -> Compared[Key]:
    """Compares the log with two readings of what was counted from it.

    before, after: the readings, one made before the log was read and one made after.
    logged: what the log has.
    on_their_way: the cells of events that were in the log but not known to be counted when the log was read.

    A cell that is not on its way and reads the same before and after was not touched in between. If it differs from the
    log, it is wrong.
    """
    differing: list[Key] = []
    open_cells: set[Key] = set()
    for key in sorted(logged.keys() | before.keys() | after.keys()):
        counted = before.get(key)
        if logged.get(key) == counted == after.get(key):
            continue
        if key in on_their_way or counted != after.get(key):
            open_cells.add(key)
        elif logged.get(key) != counted:
            differing.append(key)
    return Compared(differing=differing, open=open_cells)
