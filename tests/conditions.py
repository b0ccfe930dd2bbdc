"""Waiting for what another process, thread or task will do: the one place in the tests that asks again and again."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

import psutil


def wait_until(condition: Callable[[], bool], what: str, *, timeout_seconds: float = 20.0) -> None:
    """Returns once `condition` holds; fails the test, saying `what` did not happen, when time is up."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s: not {what}")
        time.sleep(0.01)


async def eventually(condition: Callable[[], object | Awaitable[object]], *, within_seconds: float = 10.0) -> None:
    """Returns once `condition` holds, while other tasks go on; fails the test when time is up."""
    deadline = time.monotonic() + within_seconds
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        assert time.monotonic() < deadline, f"not within {within_seconds:g} s"
        await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that has ended but was not yet collected by its parent counts as gone."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
