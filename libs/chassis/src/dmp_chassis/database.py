"""One PostgreSQL database over SQLAlchemy and psycopg: visible transactions, quick failure, recovery by itself.

A transaction starts with an explicit BEGIN, whose round trip proves that the connection lives. A connection that died,
as all do when the server restarts, is replaced on the spot; a server that does not answer costs the caller
`acquire_seconds`, no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction

from dmp_chassis.conflicts import key_may_be_taken, retrying, sql_state
from dmp_chassis.engine import driver_url, make_engine
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.metrics import Metrics
from dmp_chassis.store_metrics import PoolMetrics
from dmp_chassis.tracing import POSTGRES, client_span

if TYPE_CHECKING:
    from sqlalchemy import QueuePool

__all__ = ["Database", "after_commit", "key_may_be_taken", "raw", "retrying", "sql_state"]

_AFTER_COMMIT: Final = "dmp_after_commit"
_DATABASE_ERRORS: Final = (psycopg.Error, sqlalchemy.exc.DBAPIError)


class Database:
    """A pool of connections to one database, and one more connection that only `check` uses."""

    def __init__(self, engine: AsyncEngine, probe: AsyncEngine, *, pool_size: int, acquire_seconds: float) -> None:
        self._engine = engine
        self._probe = probe
        self._pool_size = pool_size
        self._acquire_seconds = acquire_seconds
        self._returning: set[asyncio.Task[None]] = set()
        self._measured: PoolMetrics | None = None

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        pool_size: int,
        application_name: str,
        statement_timeout_seconds: float = 30.0,
        acquire_seconds: float = 0.9,
    ) -> Database:
        """A database at `postgresql://role:password@host:port/name` or `postgresql:///name?host=/socket/directory`.

        Opens nothing yet: connections are made when first needed, so the database may come up later. `acquire_seconds`
        bounds the wait for a connection that answers. The server enforces `statement_timeout_seconds` on each statement
        (0: no limit).
        """
        location = driver_url(url, statement_timeout_seconds)
        return cls(
            make_engine(location, application_name, pool_size, acquire_seconds),
            make_engine(location, f"{application_name} health", 1, acquire_seconds),
            pool_size=pool_size,
            acquire_seconds=acquire_seconds,
        )

    def measured_by(self, metrics: Metrics, pool: str) -> Database:
        """Has its waiting, use and errors measured from now on, under this name of the pool. Returns itself."""
        pooled = cast("QueuePool", self._engine.pool)
        self._measured = PoolMetrics(metrics, pool, limit=self._pool_size, in_use=pooled.checkedout)
        return self

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        When no connection answers in time it raises DependencyUnavailable or an OperationalError, both of which are
        answered as UNAVAILABLE.
        """
        with client_span("transaction", POSTGRES):
            async with self._transaction(self._engine, "BEGIN ISOLATION LEVEL READ COMMITTED") as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One read-only transaction in which every statement sees the same state of the database."""
        with client_span("read-only transaction", POSTGRES):
            async with self._transaction(self._engine, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
                yield connection

    async def check(self) -> None:
        """Returns if the database answers within `acquire_seconds`, else raises. Does not compete for the pool."""
        async with self._transaction(self._probe, "BEGIN READ ONLY"):
            pass

    async def close(self) -> None:
        """Closes every connection. To be called once, after the last transaction."""
        if self._returning:
            # Whoever was just cancelled still has a connection to give back, which nobody would close after this.
            await asyncio.wait(tuple(self._returning), timeout=self._acquire_seconds)
        for task in tuple(self._returning):
            task.cancel()
        await self._engine.dispose()
        await self._probe.dispose()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine, begin: str) -> AsyncIterator[AsyncConnection]:
        measured = self._measured if engine is self._engine else None
        if measured is None:
            connection = await self._acquire(engine, begin)
        else:
            with measured.waiting():
                connection = await self._acquire(engine, begin)
        callbacks: list[Callable[[], None]] = []
        connection.info[_AFTER_COMMIT] = callbacks
        try:
            transaction = await connection.begin()
            try:
                yield connection
            except BaseException as error:
                self._note_failure(engine, error)
                await _roll_back(transaction)
                raise
            try:
                await transaction.commit()
            except BaseException as error:
                self._note_failure(engine, error)
                raise
        finally:
            # A cancelled caller must not leave the connection half returned.
            await asyncio.shield(self._remember(connection.close()))
        for callback in callbacks:
            callback()

    def _note_failure(self, engine: AsyncEngine, error: BaseException) -> None:
        """Counts what the database did, not what the block raised for reasons of its own."""
        if self._measured is not None and engine is self._engine and isinstance(error, _DATABASE_ERRORS):
            self._measured.failed()

    async def _acquire(self, engine: AsyncEngine, begin: str) -> AsyncConnection:
        """A connection with an open transaction, within `acquire_seconds`.

        Cancelling psycopg waits for the server to agree, which a stopped server never does. So the attempt runs in a
        task of its own, which is left behind when its time is up and gives its connection back whenever it ends.
        """
        attempt = asyncio.ensure_future(self._open(engine, begin))
        try:
            done, _ = await asyncio.wait({attempt}, timeout=self._acquire_seconds)
        except BaseException:
            self._abandon(attempt)
            raise
        if not done:
            self._abandon(attempt)
            raise DependencyUnavailable("postgres")
        return attempt.result()

    async def _open(self, engine: AsyncEngine, begin: str) -> AsyncConnection:
        stale_connections = 0
        while True:
            connection = await engine.connect()
            try:
                await raw(connection).execute(begin.encode())
            except BaseException as error:
                await connection.invalidate()
                await connection.close()
                stale_connections += 1
                if not isinstance(error, psycopg.OperationalError) or stale_connections > self._pool_size:
                    raise
            else:
                return connection

    def _abandon(self, attempt: asyncio.Task[AsyncConnection]) -> None:
        attempt.cancel()
        self._remember(_give_back(attempt))

    def _remember(self, returning: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(returning)
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)
        return task


def raw(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection below, inside the same transaction: for COPY. Valid until the block of `begin` ends."""
    below = connection.sync_connection
    if below is None:
        raise ValueError("the connection has not been started")
    return cast("psycopg.AsyncConnection[Any]", below.connection.driver_connection)


def after_commit(connection: AsyncConnection, callback: Callable[[], None]) -> None:
    """Has `callback` called once the transaction of this connection has been committed, not at all if it is not."""
    connection.info[_AFTER_COMMIT].append(callback)


async def _roll_back(transaction: AsyncTransaction) -> None:
    """Rolls back. If that fails the connection is lost, and the transaction with it: what the caller must hear is what
    came before, above all that it was cancelled."""
    try:
        await transaction.rollback()
    except Exception:  # noqa: BLE001
        await transaction.connection.invalidate()


async def _give_back(attempt: asyncio.Task[AsyncConnection]) -> None:
    await asyncio.wait({attempt})
    if not attempt.cancelled() and attempt.exception() is None:
        await attempt.result().close()
