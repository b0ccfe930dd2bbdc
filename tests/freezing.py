"""Freezing a process with all that it has started: PostgreSQL's work is done by children of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil

from dmp_stack.child import Child


@contextlib.contextmanager
def frozen(child: Child) -> Iterator[None]:
    """Stops (SIGSTOP) the child and its descendants while the block runs; nothing if it is not running."""
    stopped: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        if child.pid is not None:
            parent = psutil.Process(child.pid)
            stopped.append(parent)
            parent.suspend()  # first, so that it starts nobody else
            stopped += parent.children(recursive=True)
    for process in stopped[1:]:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    try:
        yield
    finally:
        for process in reversed(stopped):
            with contextlib.suppress(psutil.Error):
                process.resume()
