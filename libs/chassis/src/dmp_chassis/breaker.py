"""A circuit breaker: what has just failed is left alone for a while, then asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_MOST_DOUBLINGS: Final = 10


class Breaker:
    """Counts the failures in a row of one dependency, and says when to leave it alone.

    After the first failure it is left alone for `pause_seconds`, after each one more for twice as long, up to
    `longest_seconds`. The first success ends that.
    """

    def __init__(
        self,
        *,
        pause_seconds: float,
        longest_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause_seconds = pause_seconds
        self._longest_seconds = pause_seconds if longest_seconds is None else longest_seconds
        self._clock = clock
        self._away_until = 0.0
        self._probes = 0
        self.failures = 0
        """In a row; 0 while it works."""

    @property
    def is_open(self) -> bool:
        """Whether to leave it alone now: it failed lately, or somebody is finding out whether it is back."""
        return self.failures > 0 and (self._probes > 0 or self._clock() < self._away_until)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Surrounds a call: as long as it runs after a failure, it is the one that finds out."""
        is_probe = self.failures > 0
        self._probes += is_probe
        try:
            yield
        finally:
            self._probes -= is_probe

    def failed(self) -> None:
        """The dependency did not answer."""
        pause = self._pause_seconds * 2 ** min(self.failures, _MOST_DOUBLINGS)
        self.failures += 1
        self._away_until = self._clock() + min(self._longest_seconds, pause)

    def succeeded(self) -> int:
        """The dependency answered; returns how many failures in a row that ends."""
        ended, self.failures = self.failures, 0
        return ended
