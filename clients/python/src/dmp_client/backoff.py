"""How long to wait before something is tried again, and when not to try at all for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Pauses between attempts: exponential, with full jitter, so that many clients do not return at one moment.

    first_seconds: the longest first pause; it doubles with each failure.
    most_seconds: the longest pause of all, also of what the server asks for with `Retry-After`.
    circuit_failures: after so many failures in a row calls fail at once ...
    circuit_seconds: ... for so long; then one is tried.
    """

    first_seconds: float = 0.2
    most_seconds: float = 30.0
    circuit_failures: int = 5
    circuit_seconds: float = 5.0

    def pause(self, failures: int, retry_after: float | None = None) -> float:
        """Seconds to wait after so many failures in a row; at least what the server asked for, within the bound."""
        longest = min(self.first_seconds * 2 ** min(failures - 1, 30), self.most_seconds)
        chosen = random.uniform(longest / 2, longest)  # noqa: S311 - jitter is no secret
        asked = 0.0 if retry_after is None else min(max(retry_after, 0.0), self.most_seconds)
        return max(chosen, asked)


@dataclass(slots=True)
class Circuit:
    """Remembers failures in a row. While it is open calls are not worth trying."""

    policy: RetryPolicy
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    _open_until: float = field(default=0.0)

    @property
    def is_open(self) -> bool:
        """True while calls should fail at once."""
        return self.failures >= self.policy.circuit_failures and self.clock() < self._open_until

    def succeeded(self) -> None:
        """Something was answered: all is well again."""
        self.failures = 0

    def failed(self) -> None:
        """There was no usable answer."""
        self.failures += 1
        self._open_until = self.clock() + self.policy.circuit_seconds
