"""Reads a typed request with events from its bytes, and counts them first.

protobuf makes an object of every event before anybody can count them: 16 MiB of empty ones are eight million. So a
large request is cut into its events along their lengths, which ends at the first one too many, and each is parsed by
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from dmp.ingest.v1 import event_pb2
from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.pauses import Pauses
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_ingest.api.convert import event_from_proto
from dmp_ingest.domain.errors import TooLargeError
from dmp_ingest.domain.event import MOST_EVENT_BYTES, RejectedEvent, SubmittedEvent
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.publish_events import PublishEvents

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of one request."""
MOST_STREAMED_BYTES: Final = 1024 * 1024
"""Of one message of a stream: gRPC's library holds it before anybody can count it, for as many streams as are open."""
MOST_KEY_BYTES: Final = 1_024
"""Of an idempotency key: it is hashed for each event that has no id."""
_MOST_OTHER_FIELDS: Final = 1_000
_EVENTS_TAG: Final = 0x0A
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EVENT_TOO_LARGE: Final = {"event": [f"must have at most {MOST_EVENT_BYTES:,} bytes"]}

_Request = TypeVar("_Request", pb.PublishEventsRequest, pb.PublishEventStreamRequest)


async def read_publish_request(
    data: bytes, message: type[_Request], policy: EventPolicy, *, most_bytes: int = MOST_BYTES
) -> tuple[_Request, PublishEvents]:
    """The request, whose events may be missing, and all of them as they are to be published.

    Raises TooLargeError before any event is read, InvalidArgument if the bytes are no such message or have no event.
    Others get their turn while many events are read.
    """
    if len(data) > most_bytes:
        raise TooLargeError(limit=most_bytes, unit="bytes")
    most = policy.max_events_per_request
    sent: list[event_pb2.Event | bytes]
    try:
        if len(data) <= MOST_EVENT_BYTES:
            request = message.FromString(data)
            sent = list(request.events)
        else:
            sent, others = _cut(data, most)
            request = message.FromString(others)
    except (DecodeError, IndexError):
        raise _invalid("", "the request is not a valid message of its type") from None
    if len(sent) > most:
        raise TooLargeError(limit=most, unit="events")
    if not sent:
        raise _invalid("events", "at least one event is required")
    if len(request.idempotency_key.encode()) > MOST_KEY_BYTES:
        raise key_too_long()
    events = await _read_events(sent, policy)
    return request, PublishEvents(
        events=events,
        size_bytes=len(data),
        source=request.source or None,
        idempotency_key=request.idempotency_key,
    )


async def _read_events(
    sent: list[event_pb2.Event | bytes], policy: EventPolicy
) -> list[SubmittedEvent | RejectedEvent]:
    events: list[SubmittedEvent | RejectedEvent] = []
    pauses = Pauses()
    for event in sent:
        await pauses.take_if_due()
        if not isinstance(event, bytes):
            events.append(event_from_proto(event, policy))
        elif len(event) > MOST_EVENT_BYTES:
            events.append(RejectedEvent(event_id="", errors=_EVENT_TOO_LARGE))
        else:
            try:
                events.append(event_from_proto(event_pb2.Event.FromString(event), policy))
            except DecodeError:
                raise _invalid("", "the request is not a valid message of its type") from None
    return events


def _cut(data: bytes, most: int) -> tuple[list[event_pb2.Event | bytes], bytes]:
    """The bytes of each event, and those of all other fields.

    Raises TooLargeError at the first event beyond `most`, IndexError or DecodeError if the bytes are no message.
    """
    events: list[event_pb2.Event | bytes] = []
    others: list[bytes] = []
    for tag, start, value, end in _fields(data):
        if tag == _EVENTS_TAG:
            events.append(data[value:end])
            if len(events) > most:
                raise TooLargeError(limit=most, unit="events")
        else:
            others.append(data[start:end])
            if len(others) > _MOST_OTHER_FIELDS:
                raise DecodeError
    return events, b"".join(others)


def _fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Each field at the top of a message: its tag, where it starts, where its value starts and ends.

    *Source:* protobuf.dev, Encoding. Raises DecodeError or IndexError if the bytes are no message.
    """
    position, size = 0, len(data)
    while position < size:
        start = position
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _BYTES:
            length, position = _varint(data, position)
            end = position + length
        elif kind == _VARINT:
            end = _varint(data, position)[1]
        elif kind in (_FIXED64, _FIXED32):
            end = position + (8 if kind == _FIXED64 else 4)
        else:
            raise DecodeError
        if end > size:
            raise DecodeError
        yield tag, start, position, end
        position = end


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise DecodeError


def key_too_long() -> InvalidArgument:
    """What is wrong with an idempotency key of more than `MOST_KEY_BYTES`."""
    return _invalid("idempotency_key", f"must have at most {MOST_KEY_BYTES:,} bytes")


def _invalid(field: str, description: str) -> InvalidArgument:
    return InvalidArgument([Violation(field, description)])
