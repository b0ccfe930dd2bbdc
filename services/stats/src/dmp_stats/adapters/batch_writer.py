"""Writes applied batches: the inbox, what a batch adds to the rollups, and what it adds to the sliding window.

It is the hottest path to the database, and most of what a small batch costs there is the commit. So at most a few
transactions are under way, and each takes all batches that have come while those before it were being committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from struct import Struct
from typing import Final

import psycopg
from psycopg.pq.abc import PGresult

from dmp_chassis import tracing
from dmp_chassis.binary import uuid_bytes
from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.pipeline import Values
from dmp_chassis.pipeline_pool import PipelinePool

_LANES: Final = 2
"""One transaction waits for the disk while the next is written."""
_MOST_TOGETHER: Final = 32
_INT8: Final = Struct("!q")

_APPLY: Final = b"""
WITH claimed AS (INSERT INTO inbox (batch_id) VALUES ($1::uuid) ON CONFLICT DO NOTHING RETURNING true),
     delta AS (INSERT INTO rollup_delta (cells)
               SELECT $2::bytea FROM claimed WHERE $2::bytea IS NOT NULL RETURNING seq),
     seen AS (INSERT INTO window_batch (last_second, sightings)
              SELECT $3::int8, $4::bytea FROM claimed WHERE $4::bytea IS NOT NULL RETURNING seq)
SELECT EXISTS (SELECT FROM claimed), (SELECT seq FROM delta), (SELECT seq FROM seen)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of a batch."""

    is_new: bool
    """Whether it was applied now, and not before."""
    delta_seq: int | None
    """The number of the row in `rollup_delta`; None if there was nothing to write."""
    window_seq: int | None
    """The number of the row in `window_batch`; None if there was nothing to write."""


class _Waiting:
    """A batch that waits for a transaction: the statement's values, and who waits for what became of it."""

    __slots__ = ("expiry", "outcome", "span", "values")

    def __init__(self, values: Values, outcome: asyncio.Future[Applied], expiry: asyncio.TimerHandle) -> None:
        self.values = values
        self.outcome = outcome
        self.expiry = expiry
        self.span = tracing.current()


class BatchWriter:
    """Writes batches over a few connections, which are opened when first needed."""

    def __init__(self, url: str, *, acquire_seconds: float = 0.9) -> None:
        # Whether a batch is there is asked first, so writing may be tried again.
        self._pool = PipelinePool(url, _APPLY, parameters=4, application_name="dmp-stats batches")
        self._acquire_seconds = acquire_seconds
        self._queue: deque[_Waiting] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def write(
        self, *, batch_id: str, cells: bytes | None, last_second: int | None, activity: bytes | None
    ) -> Applied:
        """Writes a batch unless it is there, and returns once that is committed.

        Waits for another transaction that is writing the same batch. Raises DependencyUnavailable if no transaction
        takes it in time, else what the database raises. If the caller gives up the batch may be written all the same.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Applied] = loop.create_future()
        expiry = loop.call_later(self._acquire_seconds, _fail, outcome, DependencyUnavailable("postgres"))
        second = None if last_second is None else _INT8.pack(last_second)
        values = (uuid_bytes(batch_id), cells, second, activity)
        self._queue.append(_Waiting(values, outcome, expiry))
        if len(self._lanes) < _LANES and not self._is_closed:
            lane = loop.create_task(self._run_lane())
            self._lanes.add(lane)
        try:
            return await outcome
        finally:
            expiry.cancel()

    async def close(self) -> None:
        """Closes all connections and ends what is under way."""
        self._is_closed = True
        lanes = tuple(self._lanes)
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
        await self._pool.close()

    async def _run_lane(self) -> None:
        """Runs transactions until nothing waits."""
        try:
            while group := self._take():
                await self._write_or_fail(group)
        finally:
            # At once, not when the task is seen to have ended: whoever comes in between must start another.
            self._lanes.remove(_this_task())

    async def _write_or_fail(self, group: list[_Waiting]) -> None:
        try:
            await self._write(group)
        except asyncio.CancelledError:
            for each in group:
                each.outcome.cancel()
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it was: those who wait are told
            for each in group:
                _fail(each.outcome, error)

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        while self._queue and len(group) < _MOST_TOGETHER:
            each = self._queue.popleft()
            each.expiry.cancel()
            if not each.outcome.done():
                group.append(each)
        # Whoever writes some of the same batches writes them in the same order.
        group.sort(key=_batch_id)
        return group

    async def _write(self, group: list[_Waiting]) -> None:
        try:
            with tracing.joined_span("apply batches", [each.span for each in group]):
                results = await self._pool.run_idempotent([each.values for each in group])
        except psycopg.Error as error:
            if len(group) == 1 or error.sqlstate is None:
                raise
            # The server has refused one of them: that must not keep the others from being written.
            for each in group:
                if each.outcome.done():
                    continue
                try:
                    _tell([each], await self._pool.run_idempotent([each.values]))
                except psycopg.Error as own_error:
                    _fail(each.outcome, own_error)
        else:
            _tell(group, results)


def _this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _batch_id(waiting: _Waiting) -> bytes:
    return waiting.values[0] or b""


def _tell(group: list[_Waiting], results: list[PGresult]) -> None:
    for each, result in zip(group, results, strict=True):
        if not each.outcome.done():
            is_new, delta, window = (result.get_value(0, column) for column in range(3))
            each.outcome.set_result(Applied(is_new=is_new == b"\x01", delta_seq=_int8(delta), window_seq=_int8(window)))


def _int8(value: bytes | None) -> int | None:
    if value is None:
        return None
    number: int = _INT8.unpack(value)[0]
    return number


def _fail(outcome: asyncio.Future[Applied], error: Exception) -> None:
    if not outcome.done():
        outcome.set_exception(error)
