"""Request bodies for the load client: realistic events from the seeded generator, every one with an id of its own.

Rendering an event costs microseconds, so it is done once: a *pool* of events is rendered as requests of one size, and
each run gets a copy of it in which the event ids, and the browsers of passers-by, are overwritten with fresh random
ones. So every event of every run is new, people and campaigns return, and about a tenth of the events brings a
browser that was never seen before.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmp.ingest.v1 import event_pb2, ingest_service_pb2
from dmp_stack.generator import VISITOR_PREFIX, Event, Traffic, generate_events

POOL_EVENTS = 20_000
"""A multiple of every batch size."""

_ID_WIDTH = 36
_VISITOR_WIDTH = 16
_HEX = np.frombuffer(b"".join(b"%02x" % value for value in range(256)), dtype=np.uint8).reshape(256, 2)

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What makes the events of one run differ from those of another: ids by event, and browsers by pool copy and
    visitor."""

    event_ids: Bytes
    visitors: Bytes

    @property
    def events(self) -> int:
        return len(self.event_ids)


class Pool:
    """`POOL_EVENTS` campaign and identified events of the last 15 minutes (some late, none repeated, none broken)."""

    def __init__(self, *, seed: int, now: datetime | None = None) -> None:
        end = now or datetime.now(UTC)
        traffic = Traffic(
            start=end - timedelta(minutes=15),
            end=end,
            seed=seed,
            sessions=POOL_EVENTS // 2,
            people=4000,
            campaigns=20,
            repeated=0.0,
            late=0.02,
        )
        self.events: list[Event] = list(islice(generate_events(traffic), POOL_EVENTS))
        if len(self.events) < POOL_EVENTS:
            raise ValueError(f"the generator made only {len(self.events)} events")
        visitors = sorted({browser for event in self.events if (browser := _visitor(event))})
        self.visitor_numbers = {browser: number for number, browser in enumerate(visitors)}

    def fresh(self, events: int, randomness: np.random.Generator) -> Fill:
        """New ids and new passers-by for at least `events` events, in whole copies of the pool."""
        copies = -(-events // POOL_EVENTS)
        return Fill(
            event_ids=_uuids(copies * POOL_EVENTS, randomness),
            visitors=_hexadecimal(copies * len(self.visitor_numbers), _VISITOR_WIDTH // 2, randomness).reshape(
                copies, len(self.visitor_numbers), _VISITOR_WIDTH
            ),
        )

    def half_known(self, earlier: Fill, randomness: np.random.Generator) -> Fill:
        """Every second event of `earlier` again, content included, between new ones."""
        event_ids = _uuids(earlier.events, randomness)
        event_ids[::2] = earlier.event_ids[::2]
        return Fill(event_ids=event_ids, visitors=earlier.visitors)

    def counted(self, events: int, *, every: int = 1) -> Counter[str]:
        """What `/stats` counts, by campaign, for the first `events` events of a fill (or every second, from the
        second on)."""
        counts: Counter[str] = Counter()
        for position in range(every - 1, events, every):
            event = self.events[position % POOL_EVENTS]
            if "campaign_id" in event:
                counts[event["campaign_id"]] += 1
        return counts


class JsonRequests:
    """The pool as JSON bodies: one object if `batch` is 1, else arrays of `batch` events."""

    def __init__(self, pool: Pool, batch: int) -> None:
        rendered = [json.dumps(event, separators=(",", ":")).encode() for event in pool.events]
        self._records = _Records(
            pool,
            bodies=[
                rendered[start] if batch == 1 else b"[" + b",".join(rendered[start : start + batch]) + b"]"
                for start in range(0, POOL_EVENTS, batch)
            ],
            batch=batch,
        )

    def write(self, path: Path, fill: Fill) -> None:
        self._records.write(path, fill)


class GrpcRequests:
    """The pool as `PublishEventsRequest` messages with gRPC's five-byte prefix."""

    def __init__(self, pool: Pool, batch: int) -> None:
        events = [event_to_proto(event) for event in pool.events]
        messages = (
            ingest_service_pb2.PublishEventsRequest(events=events[start : start + batch]).SerializeToString()
            for start in range(0, POOL_EVENTS, batch)
        )
        self._records = _Records(
            pool, bodies=[b"\0" + struct.pack(">I", len(message)) + message for message in messages], batch=batch
        )

    def write(self, path: Path, fill: Fill) -> None:
        self._records.write(path, fill)


class _Records:
    """Bodies as the load client reads them, with the places that a run overwrites."""

    def __init__(self, pool: Pool, *, bodies: Sequence[bytes], batch: int) -> None:
        self._blob = np.frombuffer(b"".join(struct.pack("<I", len(body)) + body for body in bodies), dtype=np.uint8)
        starts = np.cumsum([0, *(len(body) + 4 for body in bodies)])[:-1] + 4
        ids: list[int] = []
        visitors: list[int] = []
        numbers: list[int] = []
        for index, body in enumerate(bodies):
            at = 0
            for event in pool.events[index * batch : (index + 1) * batch]:
                event_id = event["event_id"].encode()
                at = body.index(event_id, at)
                ids.append(int(starts[index]) + at)
                browser = _visitor(event)
                if browser:
                    at_browser = body.index(browser.encode(), at)
                    visitors.append(int(starts[index]) + at_browser + len(VISITOR_PREFIX))
                    numbers.append(pool.visitor_numbers[browser])
        self._ids: Offsets = np.array(ids)
        self._visitors: Offsets = np.array(visitors)
        self._numbers: Offsets = np.array(numbers)

    def write(self, path: Path, fill: Fill) -> None:
        with path.open("wb") as file:
            for copy, visitors in enumerate(fill.visitors):
                blob = self._blob.copy()
                event_ids = fill.event_ids[copy * POOL_EVENTS : (copy + 1) * POOL_EVENTS]
                blob[self._ids[:, None] + np.arange(_ID_WIDTH)] = event_ids
                blob[self._visitors[:, None] + np.arange(_VISITOR_WIDTH)] = visitors[self._numbers]
                file.write(blob.tobytes())


def event_to_proto(event: Event) -> event_pb2.Event:
    """The typed form of a campaign or identified event."""
    message = event_pb2.Event(
        event_id=event["event_id"],
        type=event.get("type") or event["event_type"],
        source=event["source"],
        campaign_id=event.get("campaign_id", ""),
        creative_id=event.get("creative_id", ""),
        user_id=event.get("user_id", ""),
        identifiers=event.get("identifiers", {}),
    )
    if "occurred_at" in event:
        message.occurred_at.FromJsonString(event["occurred_at"])
    else:
        message.timestamp = event["timestamp"]
    if "metadata" in event:
        message.metadata.update(event["metadata"])
    return message


def read_records(path: Path) -> Iterator[bytes]:
    """The bodies of a file that was written here."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def _visitor(event: Event) -> str | None:
    browser: str = event.get("identifiers", {}).get("browser_id", "")
    return browser if browser.startswith(VISITOR_PREFIX) else None


def _hexadecimal(count: int, octets: int, randomness: np.random.Generator) -> Bytes:
    return _HEX[randomness.integers(0, 256, size=(count, octets), dtype=np.uint8)].reshape(count, octets * 2)


def _uuids(count: int, randomness: np.random.Generator) -> Bytes:
    """Random UUIDs (version 4) in text form: what most producers send, and the hardest for an index."""
    digits = _hexadecimal(count, 16, randomness)
    digits[:, 12] = ord("4")
    digits[:, 16] = ord("a")
    text = np.full((count, _ID_WIDTH), ord("-"), dtype=np.uint8)
    for start, end, at in ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)):
        text[:, at : at + end - start] = digits[:, start:end]
    return text
