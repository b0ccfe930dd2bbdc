"""Requests that are small to send and large to read: they are counted first, and cost little."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable

import pytest

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.violations import InvalidArgument
from dmp_ingest.api.json_body import BodyReader, EventsBody
from dmp_ingest.api.publish_request import read_publish_request
from dmp_ingest.domain.errors import MalformedBodyError, TooLargeError
from dmp_ingest.domain.event import RejectedEvent
from dmp_ingest.publish_events import PublishEvents, judge_events
from tests.ingest.events import POLICY

MEBIBYTE = 1024 * 1024
_MOST_CPU_SECONDS = 1.5
"""Twice what the worst takes on a busy machine; before, the first took 12."""
_MOST_GROWTH_BYTES = 200 * MEBIBYTE


def filled(start: bytes, unit: bytes, end: bytes) -> bytes:
    """A body of nearly 8 MiB."""
    return start + unit * ((8 * MEBIBYTE - 100) // len(unit)) + end


BOMBS: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: filled(b"[", b"1,", b"1]"),
    "empty events": lambda: filled(b"[", b"{},", b"{}]"),
    "numbers of a batch": lambda: filled(b'{"events":[', b"1,", b"1]}"),
    "unclean numbers": lambda: filled(b'["\\ud83d",', b"1,", b"1]"),
    "arrays": lambda: filled(b'[{"x":[', b"[],", b"[]]}]"),
    "brackets": lambda: filled(b"[", b"[", b""),
    "closed brackets": lambda: b"[" * (4 * MEBIBYTE - 50) + b"]" * (4 * MEBIBYTE - 50),
    "one field again and again": lambda: filled(b"{", b'"a":1,', b'"a":1}'),
    "one identifier again and again": lambda: filled(b'{"identifiers":{', b'"a":"b",', b'"a":"b"}}'),
    "many identifiers": lambda: filled(
        b"[", json.dumps({"identifiers": {f"k{n}": 1 for n in range(60)}}).encode() + b",", b"5]"
    ),
    "many fields": lambda: b"{" + b",".join(b'"%06x":0' % n for n in range(750_000)) + b"}",
    "many unclean fields": lambda: b"{" + b",".join(b'"%x":"\\u0000"' % n for n in range(500_000)) + b"}",
    "a long text": lambda: filled(b'[{"event_id":"', b"x", b'"}]'),
    "a long source": lambda: (
        b'{"source":"' + b"x" * 4 * MEBIBYTE + b'","events":[' + b'{"timestamp":1},' * 9_999 + b"5]}"
    ),
    "a long number": lambda: filled(b'[{"timestamp":', b"9", b"}]"),
    "a long number of a user": lambda: filled(b'[{"user_id":', b"9", b"}]"),
    "escapes": lambda: filled(b'[{"x":"', b"\\ud83d\\ude00", b'\\ud83d"}]'),
    "backslashes": lambda: filled(b'[{"x":"', b"\\\\", b'\\u0000"}]'),
    "bytes that are no text": lambda: filled(b'[{"x":"', b"\xffa", b'"}]'),
    "an open text": lambda: filled(b'[{"x":[[' + b"[" * 2000 + b'"', b'\\"', b""),
}


MESSAGES: dict[str, Callable[[], bytes]] = {
    "empty events": lambda: b"\x0a\x00" * (8 * MEBIBYTE),
    "just too many events": lambda: b"\x0a\x00" * 10_001,
    "many events of some size": lambda: (b"\x0a\x40" + b"\x12\x3e" + b"x" * 62) * 20_000,
    "unknown fields": lambda: b"\x78\x00" * (8 * MEBIBYTE - 8),
    "more than 16 MiB": lambda: b"\x12" + b"\x90\x80\x80\x08" + b"x" * (16 * MEBIBYTE + 16),
}


async def _read(body: bytes) -> EventsBody | None:
    try:
        return await BodyReader(POLICY).read(body)
    except (MalformedBodyError, TooLargeError):
        return None


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_body_that_is_small_to_send_is_cheap_to_refuse(bomb: str) -> None:
    body = BOMBS[bomb]()
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    read = await _read(body)
    if read is not None:
        judged = await judge_events(PublishEvents(events=read.events, size_bytes=0, source=read.source), POLICY)
        assert all(isinstance(event, RejectedEvent) for event in judged)
        assert all(len(json.dumps(event.errors)) < 10_000 for event in judged if isinstance(event, RejectedEvent))
    assert time.process_time() - started < _MOST_CPU_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 < _MOST_GROWTH_BYTES


@pytest.mark.parametrize("message", [pb.PublishEventsRequest, pb.PublishEventStreamRequest])
@pytest.mark.parametrize("name", MESSAGES)
async def test_typed_events_are_counted_before_they_are_read(name: str, message: type[pb.PublishEventsRequest]) -> None:
    data = MESSAGES[name]()
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InvalidArgument if name == "unknown fields" else TooLargeError):
        await read_publish_request(data, message, POLICY)
    assert time.process_time() - started < _MOST_CPU_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 < _MOST_GROWTH_BYTES
