"""Watches a commit that takes long: is the database still there?

A database that is away may leave a commit without an answer for minutes. Callers are told within a second instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

_LOG: Final = logging.getLogger(__name__)
_SLOW_COMMIT_SECONDS: Final = 0.1
"""After this time a commit is suspected, and the database is asked whether it is there."""
_CHECK_SECONDS: Final = 0.75
"""The longest time for the answer to that question."""
OUTAGE_KNOWN_AFTER_SECONDS: Final = _SLOW_COMMIT_SECONDS + _CHECK_SECONDS

_Result = TypeVar("_Result")


class CommitWatch:
    """Runs commits as tasks, and gives up those that the database does not answer."""

    def __init__(self, check: Callable[[], Awaitable[None]], *, timeout_seconds: float) -> None:
        self._check = check
        self._timeout_seconds = timeout_seconds
        self._given_up: set[asyncio.Task[Any]] = set()

    async def run(self, commit: Coroutine[Any, Any, _Result]) -> _Result:
        """The result of the commit. Raises what it raises, what the check raises, or TimeoutError after the timeout.

        A commit that is given up is cancelled and not waited for: a database that is away cannot agree to that.
        """
        committing = asyncio.ensure_future(commit)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while not (await asyncio.wait({committing}, timeout=_SLOW_COMMIT_SECONDS))[0]:
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await self._check()
                return committing.result()
        except BaseException:
            self._give_up(committing)
            raise

    def _give_up(self, committing: asyncio.Task[Any]) -> None:
        if not committing.done():
            committing.cancel()
            self._given_up.add(committing)
            committing.add_done_callback(self._forget)

    def _forget(self, committing: asyncio.Task[Any]) -> None:
        self._given_up.discard(committing)
        if not committing.cancelled() and (error := committing.exception()) is not None:
            _LOG.info("a commit that was given up has failed", extra={"error": type(error).__name__})
