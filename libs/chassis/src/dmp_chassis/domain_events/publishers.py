"""Where domain events go: the interface, a Redis stream, and a list in this process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from dmp_chassis.domain_events.event import DomainEvent
from dmp_chassis.redis_client import RedisClient, run, run_each
from dmp_chassis.redis_cluster import Command

_BEGINNING: Final = "0-0"
_BLOCK_SLICE_SECONDS: Final = 0.2


class Publisher(Protocol):
    """An ordered, bounded stream of domain events: when it is full, the oldest go.

    An event that is published twice is read twice, with the same id.
    """

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        """Appends the events in order. If it raises, any of them may have been appended: publish all of them again."""

    async def read(self, cursor: str | None, limit: int, block_seconds: float = 0.0) -> tuple[list[DomainEvent], str]:
        """Up to `limit` events after `cursor`, oldest first, and the cursor to go on with.

        None stands for the beginning. Waits up to `block_seconds` if there is no event; then the list is empty and the
        cursor points where it pointed. Cursors are opaque text. One that points at events which are gone continues with
        the oldest there is.
        """


class RedisStreamPublisher:
    """A Redis stream of about `maxlen` events. If Redis loses it, readers miss what they had not read by then.

    Key: `stream`, no expiry, written by every service. The braces keep it in one slot of a Redis Cluster.
    """

    def __init__(self, redis: RedisClient, stream: str = "dmp:{domain-events}", maxlen: int = 100_000) -> None:
        self._redis = redis
        self._stream = stream
        self._maxlen = maxlen

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        """One round trip for all of them."""
        answers = await run_each(self._redis, [self._command(*self._added(event)) for event in events])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def _added(self, event: DomainEvent) -> Sequence[object]:
        fields = {
            "id": event.id,
            "kind": event.kind,
            "occurred_at": event.occurred_at.isoformat(),
            "payload": msgspec.json.encode(event.payload),
        }
        pairs = [word for pair in fields.items() for word in pair]
        return ("XADD", self._stream, "MAXLEN", "~", self._maxlen, "*", *pairs)

    def _command(self, *words: object) -> Command:
        return Command(self._stream.encode(), words)

    async def read(self, cursor: str | None, limit: int, block_seconds: float = 0.0) -> tuple[list[DomainEvent], str]:
        """As `Publisher.read`. Blocks in slices of 0.2 s: the client's timeout must be longer, the wait need not be."""
        position = cursor or _BEGINNING
        deadline = time.monotonic() + block_seconds
        while True:
            left = deadline - time.monotonic()
            block = ("BLOCK", max(1, round(min(left, _BLOCK_SLICE_SECONDS) * 1000))) if left > 0 else ()
            words = ("XREAD", "COUNT", limit, *block, "STREAMS", self._stream, position)
            entries = _entries(await run(self._redis, self._command(*words)))
            if entries:
                return [_event(fields) for _, fields in entries], _text(entries[-1][0])
            if left <= 0:
                return [], position


class InMemoryPublisher:
    """A list of at most `maxlen` events in this process, for where there is no Redis. Ends with the process."""

    def __init__(self, maxlen: int = 100_000) -> None:
        self._events: deque[DomainEvent] = deque(maxlen=maxlen)
        self._published = 0
        self._arrived = asyncio.Condition()

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        """Appends, and wakes readers that wait."""
        async with self._arrived:
            self._events.extend(events)
            self._published += len(events)
            self._arrived.notify_all()

    async def read(self, cursor: str | None, limit: int, block_seconds: float = 0.0) -> tuple[list[DomainEvent], str]:
        """As `Publisher.read`."""
        position = int((cursor or _BEGINNING).partition("-")[0])
        try:
            async with asyncio.timeout(block_seconds), self._arrived:
                await self._arrived.wait_for(lambda: self._published > position)
        except TimeoutError:
            return [], f"{position}-0"
        oldest = self._published - len(self._events)
        start = max(position - oldest, 0)
        end = min(start + limit, len(self._events))
        return [self._events[index] for index in range(start, end)], f"{oldest + end}-0"


def _entries(answer: object) -> Sequence[tuple[str | bytes, Mapping[str | bytes, Any]]]:
    """The entries in an XREAD answer about one stream: `[[stream, entries]]`, or from RESP3 `{stream: [entries]}`."""
    if isinstance(answer, dict):
        return next(iter(answer.values()))[0] if answer else ()
    return answer[0][1] if isinstance(answer, list) and answer else ()


def _event(fields: Mapping[str | bytes, Any]) -> DomainEvent:
    values = {_text(name): value for name, value in fields.items()}
    return DomainEvent(
        id=_text(values["id"]),
        kind=_text(values["kind"]),
        occurred_at=datetime.fromisoformat(_text(values["occurred_at"])),
        payload=msgspec.json.decode(values["payload"]),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
