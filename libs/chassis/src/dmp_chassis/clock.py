"""The one clock of a service: `app.py` hands it down, and nothing below asks the operating system."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""The time in microseconds since 1970 UTC."""


def now_us() -> int:
    """The time of this machine."""
    return time.time_ns() // 1000
