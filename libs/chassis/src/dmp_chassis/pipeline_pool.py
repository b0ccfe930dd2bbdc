"""A few connections that all run one prepared statement, each in one round trip (`dmp_chassis.pipeline`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg.pq.abc import PGresult

from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.pipeline import Pipeline, Values
from dmp_chassis.tracing import POSTGRES, client_span

_TRUSTED_SECONDS: Final = 0.25
"""A connection that answered so lately is believed to live."""


class PipelinePool:
    """Opens a connection when none is idle: one for each run under way. It has no limit; its users have one."""

    def __init__(
        self, url: str, statement: bytes, *, parameters: int, application_name: str, acquire_seconds: float = 0.9
    ) -> None:
        """`acquire_seconds` bounds the wait of `run_once` for a connection that answers."""
        self._url = url
        self._statement = statement
        self._parameters = parameters
        self._application_name = application_name
        self._acquire_seconds = acquire_seconds
        self._idle: list[tuple[float, Pipeline]] = []
        self._is_closed = False

    async def run_once(self, calls: Sequence[Values]) -> list[PGresult]:
        """Runs the calls in one transaction over a connection that is known to live.

        Raises DependencyUnavailable if there is none in time, else what `Pipeline.run` raises. Nothing has happened
        then, but if the connection was lost in the middle it may have.
        """
        return await self._run_on(await self._acquire(), calls)

    async def run_idempotent(self, calls: Sequence[Values]) -> list[PGresult]:
        """Runs calls that may happen twice in one transaction: again over another connection if one is lost.

        No round trip is spent on asking whether a connection lives. Raises what `Pipeline.run` and `Pipeline.connect`
        raise.
        """
        while self._idle:
            pipeline = self._idle.pop()[1]
            if pipeline.is_lost:
                await pipeline.close()
                continue
            try:
                return await self._run_on(pipeline, calls)
            except psycopg.OperationalError:
                if not pipeline.is_lost:
                    raise
        return await self._run_on(await self._connect(), calls)

    async def close(self) -> None:
        """Closes all connections; one in use when its run ends."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for _, pipeline in idle:
            await pipeline.close()

    async def _run_on(self, pipeline: Pipeline, calls: Sequence[Values]) -> list[PGresult]:
        try:
            with client_span(self._application_name, {**POSTGRES, "db.operation.batch.size": len(calls)}):
                results = await pipeline.run(calls)
        except psycopg.Error:
            await self._release(pipeline)
            raise
        except BaseException:
            # Whatever it was: the connection may be in the middle of something.
            await pipeline.close()
            raise
        await self._release(pipeline)
        return results

    async def _acquire(self) -> Pipeline:
        """A connection that has just answered or answers now."""
        if self._idle and time.monotonic() - self._idle[-1][0] < _TRUSTED_SECONDS and not self._idle[-1][1].is_lost:
            return self._idle.pop()[1]
        try:
            async with asyncio.timeout(self._acquire_seconds):
                while self._idle:
                    pipeline = self._idle.pop()[1]
                    if await _answers(pipeline):
                        return pipeline
                    await pipeline.close()
                return await self._connect()
        except TimeoutError:
            raise DependencyUnavailable("postgres") from None

    async def _release(self, pipeline: Pipeline) -> None:
        if self._is_closed or pipeline.is_lost:
            await pipeline.close()
        else:
            self._idle.append((time.monotonic(), pipeline))

    async def _connect(self) -> Pipeline:
        return await Pipeline.connect(
            self._url, self._statement, parameters=self._parameters, application_name=self._application_name
        )


async def _answers(pipeline: Pipeline) -> bool:
    if pipeline.is_lost:
        return False
    try:
        await pipeline.check()
    except psycopg.Error:
        return False
    except BaseException:
        await pipeline.close()
        raise
    return True
