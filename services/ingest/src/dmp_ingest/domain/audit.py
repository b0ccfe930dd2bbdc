"""Compares what the log has with what was counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar


class CellKey(NamedTuple):
    """A campaign, a minute (whole minutes since 1970, UTC) and a type."""

    campaign_id: str
    minute: int
    type: str


class CellSum(NamedTuple):
    """How many events, and the XOR of their 16-byte keys: equal for equal sets of events."""

    events: int
    digest: bytes


class MinuteSum(NamedTuple):
    """How many events name a person in a minute, and the XOR of the first halves of their ids' MD5 digests."""

    events: int
    digest: int


Cells: TypeAlias = Mapping[CellKey, CellSum]

Key = TypeVar("Key", CellKey, int)
Sum = TypeVar("Sum", CellSum, MinuteSum)

NOTHING: Final = CellSum(0, bytes(16))
"""What a cell without events has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Generic[Key]):
    """differing: the cells that differ for certain. open: those that may only differ for events on their way."""

    differing: list[Key]
    open: set[Key]


def compare(
    *, before: Mapping[Key, Sum], logged: Mapping[Key, Sum], on_their_way: Collection[Key], after: Mapping[Key, Sum]
) -> Compared[Key]:
    """Compares the log with two readings of what was counted, one made before the log was read and one after.

    on_their_way: cells of events that were in the log, and not known to be counted, when the log was read. A cell that
    is not among them and reads the same before and after was not touched in between: if it differs from the log, it is
    wrong.
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
