"""Adds up the event log by campaign, minute and type, for audits. Reads every event of the range."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeVar

import psycopg

from dmp_chassis.database import Database, raw
from dmp_ingest.domain.audit import CellKey, CellSum, MinuteSum
from dmp_ingest.domain.errors import ExpiredRangeError, RangeTooLargeError

_Row = TypeVar("_Row")

MOST_CELLS: Final = 100_000
"""How many cells one comparison may have. A cell takes about 300 bytes in each of three readings."""

_MINUTE: Final[LiteralString] = "floor(extract(epoch FROM occurred_at) / 60)::bigint"
_HALVES: Final[LiteralString] = (
    "bit_xor(('x' || encode(substr(uuid_send(event_key), 1, 8), 'hex'))::bit(64)::bigint),"
    " bit_xor(('x' || encode(substr(uuid_send(event_key), 9, 8), 'hex'))::bit(64)::bigint)"
)
_MINUTES: Final[LiteralString] = (
    "occurred_at >= to_timestamp(%(first)s::bigint * 60) AND occurred_at < to_timestamp((%(last)s::bigint + 1) * 60)"
)
_RANGE: Final[LiteralString] = (
    f"{_MINUTES} AND campaign_id IS NOT NULL AND (%(campaign_id)s = '' OR campaign_id = %(campaign_id)s)"
)
_CELLS: Final = (
    f"SELECT campaign_id, {_MINUTE}, type, count(*), {_HALVES} FROM event"  # noqa: S608  # constants of this module only
    f" WHERE {_RANGE} GROUP BY 1, 2, 3 LIMIT {MOST_CELLS + 1}"
)
_ON_THEIR_WAY: Final = (
    f"SELECT DISTINCT campaign_id, {_MINUTE}, type FROM event WHERE {_RANGE}"  # noqa: S608  # constants only
    f" AND batch_id IN (SELECT batch_id FROM outbox WHERE NOT stats_applied) LIMIT {MOST_CELLS + 1}"
)
_ANY_ON_ITS_WAY: Final = "SELECT EXISTS (SELECT FROM outbox WHERE NOT stats_applied)"
_DETAILED: Final = (
    f"SELECT {_MINUTE}, type, coalesce(source, ''), coalesce(creative_id, ''), count(*), {_HALVES}"  # noqa: S608  # constants
    " FROM event"
    f" WHERE {_RANGE} AND {_MINUTE} = ANY(%(minutes)s) GROUP BY 1, 2, 3, 4"
    f" LIMIT {MOST_CELLS + 1}"
)
_NAMED: Final = (
    f"SELECT {_MINUTE}, count(*), bit_xor(('x' || left(md5(event_id), 16))::bit(64)::bigint) FROM event"  # noqa: S608
    f" WHERE {_MINUTES}"
    " AND identifiers IS NOT NULL GROUP BY 1"
)
_NAMED_ON_THEIR_WAY: Final = (
    f"SELECT DISTINCT {_MINUTE} FROM event"  # noqa: S608  # constants only
    f" WHERE {_MINUTES}"
    " AND batch_id IN (SELECT batch_id FROM outbox WHERE NOT identity_applied)"
)
_ANY_ON_ITS_WAY_TO_IDENTITY: Final = "SELECT EXISTS (SELECT FROM outbox WHERE NOT identity_applied)"
_HORIZON: Final = "SELECT floor(extract(epoch FROM occurred_before) / 60)::bigint FROM log_horizon"
_digest: Final = struct.Struct(">qq").pack


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCells:
    """What the log had at one instant, and which of it was still on its way an instant later."""

    cells: dict[CellKey, CellSum]
    on_their_way: set[CellKey]
    """The cells with events that stats has not acknowledged; of later events, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedSum:
    """What a campaign has in one minute, of one type, source and creative."""

    minute: int
    """Whole minutes since 1970 UTC."""
    type: str
    source: str
    """Empty if the events have none; `creative_id` likewise."""
    creative_id: str
    count: int
    digest: bytes
    """The XOR of the events' 16-byte keys."""


class LogCells:
    """Sums over the log. Ranges are whole minutes since 1970, both ends included; an empty campaign stands for all.

    Each method raises ExpiredRangeError if the log no longer has all events of the range.

    The log is read first, and then, in a transaction of its own, what is on its way and where the log begins: where the
    log is distributed, both show before the events that they are about (ADR 0020).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, *, campaign_id: str, first: int, last: int) -> LoggedCells:
        """All cells of the range. Raises RangeTooLargeError if they are too many or take too long."""
        parameters = {"campaign_id": campaign_id, "first": first, "last": last}
        async with self._read(first) as connection:
            rows = _bounded(await (await connection.execute(_CELLS, parameters)).fetchall())
        async with self._read(first) as connection:
            waiting = await (await connection.execute(_ANY_ON_ITS_WAY)).fetchone()
            on_their_way: set[CellKey] = set()
            if waiting is not None and waiting[0]:
                found = _bounded(await (await connection.execute(_ON_THEIR_WAY, parameters)).fetchall())
                on_their_way = {CellKey(*row) for row in found}
        cells = {CellKey(row[0], row[1], row[2]): CellSum(row[3], _digest(row[4], row[5])) for row in rows}
        return LoggedCells(cells=cells, on_their_way=on_their_way)

    async def read_named(self, *, first: int, last: int) -> tuple[dict[int, MinuteSum], set[int]]:
        """The events that name a person, by minute, and the minutes with events that identity has not acknowledged."""
        parameters = {"first": first, "last": last}
        async with self._read(first) as connection:
            rows = await (await connection.execute(_NAMED, parameters)).fetchall()
        async with self._read(first) as connection:
            waiting = await (await connection.execute(_ANY_ON_ITS_WAY_TO_IDENTITY)).fetchone()
            on_their_way: set[int] = set()
            if waiting is not None and waiting[0]:
                found = await (await connection.execute(_NAMED_ON_THEIR_WAY, parameters)).fetchall()
                on_their_way = {row[0] for row in found}
        return {row[0]: MinuteSum(row[1], row[2]) for row in rows}, on_their_way

    async def read_detailed(self, *, campaign_id: str, minutes: Sequence[int]) -> tuple[list[DetailedSum], bool]:
        """One campaign's minutes by type, source and creative, and whether any event of them is on its way."""
        parameters = {"campaign_id": campaign_id, "first": min(minutes), "last": max(minutes), "minutes": list(minutes)}
        async with self._read(min(minutes)) as connection:
            rows = _bounded(await (await connection.execute(_DETAILED, parameters)).fetchall())
        async with self._read(min(minutes)) as connection:
            found = _bounded(await (await connection.execute(_ON_THEIR_WAY, parameters)).fetchall())
        wanted = set(minutes)
        sums = [
            DetailedSum(
                minute=row[0],
                type=row[1],
                source=row[2],
                creative_id=row[3],
                count=row[4],
                digest=_digest(row[5], row[6]),
            )
            for row in rows
        ]
        return sums, any(row[1] in wanted for row in found)

    @asynccontextmanager
    async def _read(self, first: int) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """One reading transaction. Raises RangeTooLargeError if a statement takes too long."""
        try:
            async with self._database.read() as transaction:
                connection = raw(transaction)
                horizon = await (await connection.execute(_HORIZON)).fetchone()
                if horizon is not None and first < horizon[0]:
                    raise ExpiredRangeError(first=horizon[0])
                yield connection
        except psycopg.errors.QueryCanceled:
            raise RangeTooLargeError from None


def _bounded(rows: list[_Row]) -> list[_Row]:
    if len(rows) > MOST_CELLS:
        raise RangeTooLargeError
    return rows
