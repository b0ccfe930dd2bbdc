"""Entries that a cache keeps: the latest ones, bounded by their number and by the size of their keys.

They lie in two generations. What is added or found goes into the young one. When that holds half of what may be kept,
it becomes the old one, and the old one before it is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from typing import Final, Generic, Protocol, TypeVar

from dmp_identity.domain.parsed_identifier import Key

_K = TypeVar("_K")
_V = TypeVar("_V")
_KEPT_BYTES: Final = 64 << 20
"""Of texts in each kind of entry: 400,000 of usual length take half of it."""


class _Table(Protocol):
    def grow_old(self) -> None: ...


class Room:
    """How much may be kept: up to `entries` entries, whose keys take up to `size` together. At least half of what fits
    is there. Several tables can share a room.
    """

    __slots__ = ("_entries", "_half", "_half_size", "_size", "_tables")

    def __init__(self, entries: int, size: int = _KEPT_BYTES) -> None:
        self._half = max(entries // 2, 1)
        self._half_size = size // 2
        self._entries = 0
        self._size = 0
        self._tables: list[_Table] = []

    def share(self, table: _Table) -> None:
        """Adds a table whose entries count."""
        self._tables.append(table)

    def take(self, size: int) -> None:
        """Counts one more young entry. If the young ones take half of the room now, those of all tables grow old."""
        self._entries += 1
        self._size += size
        if self._entries >= self._half or self._size >= self._half_size:
            self._entries = self._size = 0
            for table in self._tables:
                table.grow_old()

    def give_back(self, entries: int, size: int) -> None:
        """Counts so many young entries less."""
        self._entries -= entries
        self._size -= size


class KeptEntries(Generic[_K, _V]):
    """A table of entries that were added or asked for last. `size_of` tells what a key takes of the room."""

    __slots__ = ("_old", "_room", "_size", "_size_of", "latest")

    def __init__(self, room: Room, size_of: Callable[[_K], int]) -> None:
        self.latest: dict[_K, _V] = {}
        """The young entries, for look-ups that cannot afford a call. Only to be read."""
        self._old: dict[_K, _V] = {}
        self._size = 0
        self._size_of = size_of
        self._room = room
        room.share(self)

    def get(self, key: _K) -> _V | None:
        """The entry of a key, which then is young; None if it is not kept."""
        found = self.latest.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: _K, entry: _V) -> None:
        """Keeps an entry, in place of one with the same key."""
        is_new = key not in self.latest
        self.latest[key] = entry
        if is_new:
            size = self._size_of(key)
            self._size += size
            self._room.take(size)

    def grow_old(self) -> None:
        """Drops the old entries. The young ones take their place."""
        self.latest, self._old = {}, self.latest
        self._size = 0

    def clear(self) -> None:
        """Drops all."""
        self._room.give_back(len(self.latest), self._size)
        self.latest, self._old = {}, {}
        self._size = 0


def size_of_key(key: Key) -> int:
    """The bytes of an identifier's text."""
    return getsizeof(key[1])


def size_of_pair(pair: tuple[Key, Key]) -> int:
    """The bytes of the texts of two identifiers."""
    return getsizeof(pair[0][1]) + getsizeof(pair[1][1])


def size_of_number(_number: int) -> int:
    """Nothing: it is counted as an entry."""
    return 0
