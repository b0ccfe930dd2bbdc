"""Waiting for what another process or thread will do."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def wait_until(condition: Callable[[], bool], what: str, *, timeout_seconds: float = 20.0) -> None:
    """Returns once `condition` holds; fails the test, saying `what` did not happen, when time is up."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s: not {what}")
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that has ended but was not yet collected by its parent counts as gone."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
