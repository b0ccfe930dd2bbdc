"""Entries that a cache keeps: the latest ones, bounded by their number and by the bytes of their keys."""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from typing import Final, Generic, TypeVar

from dmp_identity.domain.parsed_identifier import Key

_K = TypeVar("_K")
_V = TypeVar("_V")
_KEPT_BYTES: Final = 64 << 20
"""Of texts in each kind of entry: 400,000 of usual length take half of it."""


class KeptEntries(Generic[_K, _V]):
    """The entries that were added or asked for last: at most `limit`, and keys of at most `limit_bytes` by `size_of`.

    At least half of what fits is there.
    """

    __slots__ = ("_bytes", "_half", "_half_bytes", "_old", "_size_of", "_young")

    def __init__(self, limit: int, size_of: Callable[[_K], int], limit_bytes: int = _KEPT_BYTES) -> None:
        self._half = max(limit // 2, 1)
        self._half_bytes = limit_bytes // 2
        self._size_of = size_of
        self._bytes = 0
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        """The entry of a key, which then is the latest; None if it is not kept."""
        found = self._young.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: _K, entry: _V) -> None:
        """Keeps an entry, in place of one with the same key."""
        self._young[key] = entry
        self._bytes += self._size_of(key)
        if len(self._young) >= self._half or self._bytes >= self._half_bytes:
            self._young, self._old = {}, self._young
            self._bytes = 0

    def clear(self) -> None:
        """Drops all."""
        self._young, self._old = {}, {}
        self._bytes = 0


def size_of_key(key: Key) -> int:
    """The bytes of an identifier's text."""
    return getsizeof(key[1])


def size_of_pair(pair: tuple[Key, Key]) -> int:
    """The bytes of the texts of two identifiers."""
    return getsizeof(pair[0][1]) + getsizeof(pair[1][1])


def size_of_number(_number: int) -> int:
    """Nothing: it is counted as an entry."""
    return 0
