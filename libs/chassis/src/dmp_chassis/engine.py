"""How connections to PostgreSQL are made: driver, pool, limits."""

from __future__ import annotations

from typing import Any, Final, Self
from weakref import WeakSet

import msgspec
import psycopg
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dmp_chassis.citus import admit

_CONNECT_SECONDS: Final = 2
_IDLE_IN_TRANSACTION_SECONDS: Final = 60
_CANCEL_SECONDS: Final = 0.5


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection to a node that may be asked. It does not wait long for a server that is too far gone to stop a
    statement.

    When its caller is cancelled, psycopg asks the server to give up the statement, which a stopped server never does.
    """

    @classmethod
    async def connect(cls, conninfo: str = "", **given: Any) -> Self:  # noqa: ANN401
        """Raises WorkerNodeError besides what psycopg raises."""
        connection = await super().connect(conninfo, **given)
        await admit(connection)
        return connection

    async def cancel_safe(self, *, timeout: float = _CANCEL_SECONDS) -> None:  # noqa: ASYNC109 -- as in psycopg
        try:
            await super().cancel_safe(timeout=min(timeout, _CANCEL_SECONDS))
        except psycopg.Error:
            self.pgconn.finish()
            raise


def make_engine(url: URL, application_name: str, pool_size: int, acquire_seconds: float) -> AsyncEngine:
    """An engine whose pool holds `pool_size` connections and makes a caller wait at most `acquire_seconds` for one.

    Connections are in autocommit mode: SQLAlchemy's transactions need an explicit BEGIN as their first statement.
    Statement parameters stay out of error texts. JSON goes through msgspec. Disposing of it closes every connection:
    one whose caller is cancelled while SQLAlchemy looks at it for the first time is in no pool.
    """
    opened: WeakSet[psycopg.AsyncConnection[Any]] = WeakSet()

    async def connect(conninfo: str = "", **given: Any) -> psycopg.AsyncConnection[Any]:  # noqa: ANN401
        connection = await _Connection.connect(conninfo, **given)
        opened.add(connection)
        return connection

    def close_all(_: Engine) -> None:
        for connection in tuple(opened):
            connection.pgconn.finish()

    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=acquire_seconds,
        pool_recycle=1800,
        hide_parameters=True,
        use_native_hstore=False,
        json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "async_creator_fn": connect,
            "autocommit": True,
            "application_name": application_name,
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 10_000,
        },
    )
    event.listen(engine.sync_engine, "engine_disposed", close_all)
    return engine


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def driver_url(url: str, statement_timeout_seconds: float) -> URL:
    """The URL for SQLAlchemy with psycopg; `options` of its own are kept and win over the ones added here."""
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    given = parsed.query.get("options", ())
    options = (
        f"-c statement_timeout={round(statement_timeout_seconds * 1000)}",
        f"-c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_SECONDS * 1000}",
        *((given,) if isinstance(given, str) else given),
    )
    return parsed.update_query_dict({"options": " ".join(options)})
