"""Where domain events go: the interface, a Redis stream, and a list in this process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from redis.asyncio import Redis

from dmp_chassis.domain_events.event import DomainEvent

_BEGINNING: Final = "0-0"
_BLOCK_SLICE_SECONDS: Final = 0.5


class Publisher(Protocol):
    """An ordered, bounded stream of domain events.

    The oldest events go when the bound is reached. An event that is published twice is read twice, with the same id.
    """

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        """Appends the events in order. If it raises, any of them may have been appended: publish all again."""

    async def read(
        self, cursor: str | None, limit: int, block_seconds: float = 0.0
    ) -> tuple[list[DomainEvent], str]:
        """Up to `limit` events after `cursor` (None: from the oldest there is), oldest first, and the cursor to go on with.

        Waits up to `block_seconds` if there is none; then the list is empty and the cursor the same. Cursors are opaque text, valid
        for ever; one whose events are gone continues with the oldest there is.
        """


class RedisStreamPublisher:
    """A Redis stream, about `maxlen` events long. Lost with Redis; readers then continue with what comes next.

    Key: `stream`, no expiry, written by every service. The braces keep it in one slot of a Redis Cluster.
    """

    def __init__(self, redis: Redis, stream: str = "dmp:{domain-events}", maxlen: int = 100_000) -> None:
        self._redis = redis
        self._stream = stream
        self._maxlen = maxlen

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        """One round trip for the whole batch."""
        if not events:
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            for event in events:
                pipeline.xadd(
                    self._stream,
                    {
                        "id": event.id,
                        "kind": event.kind,
                        "occurred_at": event.occurred_at.isoformat(),
                        "payload": msgspec.json.encode(event.payload),
                    },
                    maxlen=self._maxlen,
                    approximate=True,
                )
            await pipeline.execute()

    async def read(self, cursor: str | None, limit: int, block_seconds: float = 0.0) -> tuple[list[DomainEvent], str]:
        """As the protocol says. Blocks in short slices, so that the client's socket timeout does not matter."""
        position = cursor or _BEGINNING
        deadline = time.monotonic() + block_seconds
        while True:
            left = deadline - time.monotonic()
            block = max(1, round(min(left, _BLOCK_SLICE_SECONDS) * 1000)) if left > 0 else None
            answer: Any = await self._redis.xread({self._stream: position}, count=limit, block=block)
            entries = _entries(answer)
            if entries:
                return [_event(fields) for _, fields in entries], _text(entries[-1][0])
            if left <= 0:
                return [], position


class InMemoryPublisher:
    """A list in this process, at most `maxlen` long, for a single process without Redis. Ends with the process."""

    def __init__(self, maxlen: int = 100_000) -> None:
        self._events: deque[DomainEvent] = deque(maxlen=maxlen)
        self._published = 0
        self._arrived = asyncio.Condition()

    async def publish(self, events: Sequence[DomainEvent]) -> None:
        """Appends and wakes readers."""
        async with self._arrived:
            self._events.extend(events)
            self._published += len(events)
            self._arrived.notify_all()

    async def read(self, cursor: str | None, limit: int, block_seconds: float = 0.0) -> tuple[list[DomainEvent], str]:
        """As the protocol says."""
        position = int((cursor or _BEGINNING).partition("-")[0])
        async with self._arrived:
            if self._published <= position and block_seconds > 0:
                try:
                    async with asyncio.timeout(block_seconds):
                        await self._arrived.wait_for(lambda: self._published > position)
                except TimeoutError:
                    pass
            first = self._published - len(self._events)
            start = max(position - first, 0)
            events = [self._events[index] for index in range(start, min(start + limit, len(self._events)))]
            return events, f"{first + start + len(events)}-0" if events else f"{position}-0"


def _entries(answer: Any) -> list[tuple[Any, dict[Any, Any]]]:
    """The entries of the only stream in an XREAD answer, whose shape depends on the protocol version."""
    if not answer:
        return []
    streams = list(answer.values()) if isinstance(answer, dict) else [entries for _, entries in answer]
    entries = streams[0]
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _event(fields: dict[Any, Any]) -> DomainEvent:
    values = {_text(name): value for name, value in fields.items()}
    return DomainEvent(
        id=_text(values["id"]),
        kind=_text(values["kind"]),
        occurred_at=datetime.fromisoformat(_text(values["occurred_at"])),
        payload=msgspec.json.decode(values["payload"]),
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
