"""One connection that runs one prepared statement, as often as there is work, in one transaction and one round trip.

libpq's pipeline mode, without psycopg's cursors: of a small statement they cost more than everything else.
*Source:* PostgreSQL documentation, 32.5 "Pipeline Mode": what lies between two synchronisation points is one
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from dmp_chassis.citus import admit

Values: TypeAlias = Sequence[bytes | None]

_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 2,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "options": "-c statement_timeout=30000",
}
_NAME: Final = b"statement"
_BINARY: Final = Format.BINARY


class Pipeline:
    """Belongs to one task at a time. Parameters and results are binary."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], parameters: int) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._socket = connection.pgconn.socket
        self._formats = [_BINARY] * parameters
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self._ready: asyncio.Future[None] | None = None
        self._was_hung_up = False

    @classmethod
    async def connect(cls, url: str, statement: bytes, *, parameters: int, application_name: str) -> Pipeline:
        """Connects and prepares the statement, which the server gives up after 30 seconds. Raises psycopg.Error."""
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, application_name=application_name, **_CONNECTION
        )
        await admit(connection)
        pipeline = cls(connection, parameters)
        try:
            pipeline._pgconn.enter_pipeline_mode()
            pipeline._pgconn.send_prepare(_NAME, statement)
            _raise_first(await pipeline._exchange())
        except BaseException:
            await pipeline.close()
            raise
        return pipeline

    @property
    def is_lost(self) -> bool:
        """True once the connection is known to be gone, also if the server has ended it while nobody was asking."""
        return self._was_hung_up or self._pgconn.status == ConnStatus.BAD

    async def check(self) -> None:
        """Returns when the server answers. Raises psycopg.Error if the connection is lost."""
        await self._exchange()

    async def run(self, calls: Sequence[Values]) -> list[PGresult]:
        """One result for each call, in their order, once the transaction of all of them is committed.

        Raises psycopg.Error if one fails: then none of them has happened, unless the connection was lost.
        """
        for values in calls:
            self._pgconn.send_query_prepared(_NAME, values, self._formats, _BINARY)
        results = await self._exchange()
        _raise_first(results)
        if len(results) != len(calls):
            raise psycopg.InternalError("the server has not answered every statement")
        return results

    async def close(self) -> None:
        """Closes the connection, whatever it is doing."""
        if self._is_reading:
            self._stop_reading()
        await self._connection.close()

    async def _exchange(self) -> list[PGresult]:
        """Sends what has been queued, ends the transaction, and returns what has come back when it has ended."""
        pgconn = self._pgconn
        pgconn.pipeline_sync()
        while pgconn.flush():
            # The server answers the first calls before it has the last: somebody has to read, or both wait.
            await self._until_ready(writing=True)
            pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                await self._until_ready()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # the end of one statement
                if self.is_lost:
                    raise psycopg.OperationalError("the connection is lost")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return results
            else:
                results.append(result)

    async def _until_ready(self, *, writing: bool = False) -> None:
        """Waits until there is something to read, or with `writing` also until something can be written."""
        if not self._is_reading:
            self._loop.add_reader(self._socket, self._on_readable)
            self._is_reading = True
        self._ready = self._loop.create_future()
        if writing:
            self._loop.add_writer(self._socket, _set, self._ready)
        try:
            await self._ready
        finally:
            self._ready = None
            if writing:
                self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        if self._ready is not None:
            _set(self._ready)
        else:
            # Nobody asked: the server is going away.
            self._was_hung_up = True
            self._stop_reading()

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._socket)
        self._is_reading = False


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _raise_first(results: Sequence[PGresult]) -> None:
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
