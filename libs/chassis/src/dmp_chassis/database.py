"""One PostgreSQL database over SQLAlchemy's asynchronous engine and psycopg: visible transactions, quick failure, own recovery.

A transaction starts with an explicit BEGIN whose round trip proves that the connection lives. A connection that died, as all do when
the server restarts, is replaced on the spot; a server that does not answer costs the caller `acquire_seconds`, no more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec
import psycopg
import sqlalchemy.exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dmp_chassis.errors import DependencyUnavailable

_Result = TypeVar("_Result")
Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

_RETRIED_STATES: Final = frozenset({"40001", "40P01"})
_CONNECT_SECONDS: Final = 2
_AFTER_COMMIT: Final = "dmp_after_commit"


class Database:
    """A pool of connections to one database, and one more connection that only `check` uses."""

    def __init__(self, engine: AsyncEngine, probe: AsyncEngine, *, pool_size: int, acquire_seconds: float) -> None:
        self._engine = engine
        self._probe = probe
        self._pool_size = pool_size
        self._acquire_seconds = acquire_seconds
        self._abandoned: set[asyncio.Task[Any]] = set()

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

        Opens nothing yet: connections are made when first needed, so the database may come up later. `acquire_seconds` bounds the
        wait for a connection that answers; `statement_timeout_seconds` is enforced by the server for each statement (0: no limit).
        """
        engine, probe = (
            create_async_engine(
                _driver_url(url, statement_timeout_seconds),
                pool_size=size,
                max_overflow=0,
                pool_timeout=acquire_seconds,
                pool_recycle=1800,
                hide_parameters=True,
                use_native_hstore=False,
                json_serializer=lambda value: msgspec.json.encode(value).decode(),
                json_deserializer=msgspec.json.decode,
                connect_args={
                    # Transactions are opened by the explicit BEGIN below, never by the driver on the quiet.
                    "autocommit": True,
                    "application_name": name,
                    "connect_timeout": _CONNECT_SECONDS,
                    "keepalives_idle": 10,
                    "keepalives_interval": 5,
                    "keepalives_count": 2,
                    "tcp_user_timeout": 10_000,
                },
            )
            for size, name in ((pool_size, application_name), (1, f"{application_name} health"))
        )
        return cls(engine, probe, pool_size=pool_size, acquire_seconds=acquire_seconds)

    @asynccontextmanager
    async def begin(self, *, isolation: Isolation = "READ COMMITTED") -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises DependencyUnavailable or an OperationalError when no connection answers in time; both are answered as UNAVAILABLE.
        """
        async with self._transaction(self._engine, f"BEGIN ISOLATION LEVEL {isolation}") as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One read-only transaction in which every statement sees the same state of the database."""
        async with self._transaction(self._engine, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield connection

    async def check(self) -> None:
        """Returns if the database answers within `acquire_seconds`, else raises. Does not compete for the pool."""
        async with self._transaction(self._probe, "BEGIN READ ONLY"):
            pass

    async def close(self) -> None:
        """Closes every connection. To be called once, after the last transaction."""
        for task in tuple(self._abandoned):
            task.cancel()
        await self._engine.dispose()
        await self._probe.dispose()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine, begin: str) -> AsyncIterator[AsyncConnection]:
        connection = await self._acquire(engine, begin)
        try:
            async with connection.begin():
                yield connection
            callbacks: list[Callable[[], None]] = connection.info.pop(_AFTER_COMMIT, [])
        finally:
            if not connection.invalidated:
                connection.info.pop(_AFTER_COMMIT, None)
            # A cancelled caller must not leave the connection half returned.
            await asyncio.shield(asyncio.ensure_future(connection.close()))
        for callback in callbacks:
            callback()

    async def _acquire(self, engine: AsyncEngine, begin: str) -> AsyncConnection:
        """A connection with an open transaction, within `acquire_seconds`.

        Cancelling psycopg waits for the server to agree, which a stopped server never does. So the attempt runs in a task of its own,
        which is left behind when its time is up and gives its connection back whenever it ends.
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
        for stale_connections in range(self._pool_size + 1):
            connection = await engine.connect()
            try:
                await raw(connection).execute(begin.encode())
            except BaseException as error:
                await connection.invalidate()
                await connection.close()
                if not isinstance(error, psycopg.OperationalError) or stale_connections == self._pool_size:
                    raise
            else:
                return connection
        raise AssertionError("unreachable: the last round returns or raises")

    def _abandon(self, attempt: asyncio.Task[AsyncConnection]) -> None:
        async def give_back() -> None:
            try:
                connection = await attempt
            except (Exception, asyncio.CancelledError):
                return
            await connection.close()

        attempt.cancel()
        task = asyncio.ensure_future(give_back())
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)


def raw(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection below, inside the same transaction: for COPY. Valid until the block of `begin` ends."""
    assert connection.sync_connection is not None
    driver_connection: psycopg.AsyncConnection[Any] = connection.sync_connection.connection.driver_connection  # type: ignore[assignment]  # typed as the common DBAPI protocol
    return driver_connection


def after_commit(connection: AsyncConnection, callback: Callable[[], None]) -> None:
    """Has `callback` called once the transaction of this connection has been committed, not at all if it has not."""
    connection.info.setdefault(_AFTER_COMMIT, []).append(callback)


async def retrying(unit: Callable[[], Awaitable[_Result]], *, attempts: int = 10) -> _Result:
    """Runs a whole unit of work, transaction included, again when PostgreSQL rolled it back for a conflict with another one.

    Serialization failures (40001) and deadlocks (40P01) are tried again after a random pause of at most half a second; the last
    attempt's error, and any other error, is raised.
    """
    for attempt in range(1, attempts):
        try:
            return await unit()
        except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
            if sql_state(error) not in _RETRIED_STATES:
                raise
        await asyncio.sleep(random.uniform(0.0, min(0.5, 0.005 * 2**attempt)))
    return await unit()


def sql_state(error: BaseException) -> str | None:
    """The SQLSTATE of an error of psycopg or SQLAlchemy, None when it has none."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _driver_url(url: str, statement_timeout_seconds: float) -> URL:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    given = parsed.query.get("options", "")
    options = f"-c statement_timeout={round(statement_timeout_seconds * 1000)} -c idle_in_transaction_session_timeout=60000"
    return parsed.update_query_dict({"options": f"{options} {given if isinstance(given, str) else ' '.join(given)}".strip()})
