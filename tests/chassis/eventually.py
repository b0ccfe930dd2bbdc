"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_seconds: float = 10.0) -> None:
    """Returns once the condition holds; fails if it does not in time."""
    deadline = time.monotonic() + within_seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within_seconds} s"
        await asyncio.sleep(0.01)
