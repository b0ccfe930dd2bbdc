"""Reads what writes the reference table: the time first, large bodies elsewhere, one large one at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_chassis.content_coding import inflate, is_gzip
from dmp_chassis.database import Database
from dmp_chassis.errors import BodyDamaged, BodyTooLarge
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_stats.adapters import reference_store
from dmp_stats.api.reference_body import CHILD_SECONDS, LARGEST_BODY, NO_MEMORY, ReadBody, ReadTask, read
from dmp_stats.api.reference_stream import read_reference_stream
from dmp_stats.domain.errors import BusyError, MalformedBodyError, TooLargeError
from dmp_stats.domain.reference_limits import FURTHEST_AHEAD, CurrentTable, check_ts
from dmp_stats.replace_reference import ReferenceTable

if TYPE_CHECKING:  # generic in the stubs only
    import grpc

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_INLINE_BYTES: Final = 262_144
_TOO_COSTLY: Final = "takes more memory to read than a table may; send fewer users or attributes"
_DECODER: Final = msgspec.msgpack.Decoder(ReadBody)


class Slot:
    """Room for one large table at a time. Whoever comes while it is taken is refused: waiting would hold the body."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Holds the slot. Raises BusyError if somebody else does."""
        if self._is_taken:
            raise BusyError(what=self._what)
        self._is_taken = True
        try:
            yield
        finally:
            self._is_taken = False


class ReferenceReader:
    """Turns requests into tables. `held` is what the caller keeps open until the table is stored."""

    def __init__(self, database: Database, *, most_users: int, clock: Callable[[], float]) -> None:
        self._database = database
        self._most_users = most_users
        self._clock = clock
        self._bodies = Slot("large reference table")
        self._streams = Slot("large stream of reference users")

    async def from_body(self, data: bytes, context: Context, held: ExitStack, *, is_change: bool) -> ReferenceTable:
        """The table that a JSON body holds.

        Raises BusyError, MalformedBodyError, InvalidArgument with the first 50 problems, StaleReferenceError,
        TooLargeError, or what `dmp_chassis.content_coding` raises.
        """
        is_packed = is_gzip(context.invocation_metadata() or ())
        if is_packed and len(data) <= _INLINE_BYTES:
            with suppress(BodyTooLarge):
                data, is_packed = inflate(data, limit=_INLINE_BYTES), False
        is_large = is_packed or len(data) > _INLINE_BYTES
        if is_large:
            held.enter_context(self._bodies.taken())
        if len(data) > LARGEST_BODY and not is_packed:
            raise TooLargeError(limit=LARGEST_BODY, unit="bytes")
        current, now = await self._current(), self._now()
        task = ReadTask(
            is_gzip=is_packed,
            is_change=is_change,
            most_users=self._most_users,
            oldest=None if current is None else current.ts,
            latest=now + FURTHEST_AHEAD,
        )
        body = await read_elsewhere(data, task) if is_large else read(data, task)
        _raise_problems(body)
        assert body.ts is not None
        check_ts(body.ts, now=now, current=current)
        return ReferenceTable(
            ts=body.ts.astimezone(UTC), payloads=body.payloads, users=body.users, names=frozenset(body.names)
        )

    async def from_stream(
        self, requests: AsyncIterator[pb.ReplaceReferenceUsersRequest], held: ExitStack
    ) -> ReferenceTable:
        """The table that a stream of messages makes up. Raises as `read_reference_stream` does, and BusyError."""
        current = await self._current()
        return await read_reference_stream(
            requests,
            most_users=self._most_users,
            check_time=lambda ts: check_ts(ts, now=self._now(), current=current),
            on_large=lambda: held.enter_context(self._streams.taken()),
        )

    async def _current(self) -> CurrentTable | None:
        async with self._database.read() as connection:
            version = await reference_store.current(connection)
        return None if version is None else CurrentTable(ts=version.ts, generation=version.generation)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _raise_problems(body: ReadBody) -> None:
    if body.damaged:
        raise BodyDamaged(problem=body.damaged)
    if body.too_many_bytes:
        raise TooLargeError(limit=body.too_many_bytes, unit="bytes")
    if body.malformed:
        raise MalformedBodyError(problem=body.malformed)
    if body.too_many_users:
        raise TooLargeError(limit=body.too_many_users, unit="users")
    if body.violations:
        raise InvalidArgument([Violation(f, d) for f, d in body.violations])


async def read_elsewhere(data: bytes, task: ReadTask) -> ReadBody:
    """What a process of its own reads, with limits of memory and time. Raises InvalidArgument beyond the memory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dmp_stats.api.reference_body",
        msgspec.json.encode(task).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHILD_SECONDS):
            output, _ = await process.communicate(data)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == NO_MEMORY:
        raise InvalidArgument([Violation("user_metadata", _TOO_COSTLY)])
    if process.returncode != 0:
        raise RuntimeError(f"the reader of reference tables ended with {process.returncode}")
    return _DECODER.decode(output)
