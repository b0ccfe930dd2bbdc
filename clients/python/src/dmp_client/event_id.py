"""Ids of events: UUIDv7, unique without coordination and sorted by time."""

from __future__ import annotations

import os
from typing import Final

_RANDOM_BYTES: Final = 10
_AT_ONCE: Final = 256
"""Asking the operating system for random bytes costs as much for many ids as for one."""
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 0b11] for digit in "0123456789abcdef"}


class _Stock:
    """Random bytes of one process, as hexadecimal texts, each for one id."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._texts: list[str] = []

    def take(self) -> str:
        while True:
            try:
                return self._texts.pop()  # one step: no two threads take the same
            except IndexError:
                many = os.urandom(_RANDOM_BYTES * _AT_ONCE).hex()
                self._texts.extend(many[at : at + 2 * _RANDOM_BYTES] for at in range(0, len(many), 2 * _RANDOM_BYTES))


_stock = _Stock()


def new_event_id(nanoseconds: int) -> str:
    """An id for an event of this moment (Unix time). Any thread may ask, also after a fork."""
    global _stock
    if _stock.pid != os.getpid():
        _stock = _Stock()  # what is left of the parent's would give the parent's ids
    digits = _stock.take()
    moment = f"{nanoseconds // 1_000_000:012x}"
    return f"{moment[:8]}-{moment[8:]}-7{digits[:3]}-{_VARIANT[digits[3]]}{digits[4:7]}-{digits[7:19]}"
