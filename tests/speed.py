"""How fast this machine is just now: limits on time are meant for one that nobody else keeps busy."""

from __future__ import annotations

import json
import statistics
import time
from typing import Final

_USUAL_SECONDS: Final = 0.018
"""What the work below takes on the two-core machine that the limits are from (median of five, otherwise idle)."""


def _work() -> float:
    """The processor time of a fixed piece of work, in seconds."""
    begun = time.thread_time()
    for number in range(2000):
        json.loads(json.dumps({"number": number, "text": "x" * 20}))
    return time.thread_time() - begun


def slowness() -> float:
    """How many times as long as usual a fixed piece of work takes now; at least 1. Takes about 0.1 s.

    Neighbours on the same hardware make processor time longer as well: a limit that ignores them tests the neighbours.
    """
    return max(1.0, statistics.median(_work() for _ in range(5)) / _USUAL_SECONDS)
