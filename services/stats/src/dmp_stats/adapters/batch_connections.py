"""Connections for the one statement that applies a batch: each statement is its own transaction, one round trip.

It is the hottest statement of the service. Applying a batch is idempotent, so when a connection turns out to be dead it
is replaced and the statement is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import psycopg

from dmp_chassis.errors import DependencyUnavailable

_Result = TypeVar("_Result")

_CONNECT_SECONDS: Final = 2
_STATEMENT_TIMEOUT: Final = "-c statement_timeout=30000"


class BatchConnections:
    """Up to `size` connections in autocommit mode, opened when first needed."""

    def __init__(self, url: str, *, size: int, acquire_seconds: float = 0.9) -> None:
        self._url = url
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._free = asyncio.Semaphore(size)
        self._acquire_seconds = acquire_seconds
        self._is_closed = False

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[_Result]]) -> _Result:
        """What `work` gives on a free connection. It is tried once more if the connection had died while it was idle.

        Raises DependencyUnavailable if none is free in time, and what `work` or connecting raises.
        """
        try:
            async with asyncio.timeout(self._acquire_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise DependencyUnavailable("postgres") from None
        try:
            while self._idle:
                try:
                    return await self._run_on(self._idle.pop(), work)
                except psycopg.OperationalError:
                    # A server that restarts takes all connections with it: the others are as dead.
                    await self._close_idle()
            return await self._run_on(await self._connect(), work)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Closes all connections; one in use when its work ends."""
        self._is_closed = True
        await self._close_idle()

    async def _run_on(
        self,
        connection: psycopg.AsyncConnection[Any],
        work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[_Result]],
    ) -> _Result:
        try:
            result = await work(connection)
        except BaseException:
            # Whatever it was: the connection may be in the middle of something.
            await connection.close()
            raise
        if self._is_closed:
            await connection.close()
        else:
            self._idle.append(connection)
        return result

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=1,
            application_name="dmp-stats batches",
            connect_timeout=_CONNECT_SECONDS,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=2,
            tcp_user_timeout=10_000,
            options=_STATEMENT_TIMEOUT,
        )

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()
