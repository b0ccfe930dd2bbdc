"""Reads the JSON body of `POST /events`: one event, an object with `source` and `events`, or an array of events.

A body of well-typed events is decoded in one go. If anything in it is not as it should be, it is cut into its events
and each is read by itself (`json_event`): a bad one is refused in its place, and its neighbours are read exactly as
they are without it. Events are counted before they are read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from dmp_ingest.api.json_event import JsonEvent, ReadEvent, read_event
from dmp_ingest.api.json_marks import Marks, mark_deep, mark_unclean
from dmp_ingest.domain.check_event import NOT_TEXT
from dmp_ingest.domain.errors import MalformedBodyError, TooLargeError
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.json_text import is_clean_json

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WHITE_SPACE: Final = b" \t\n\r"
_DEEPEST_AROUND: Final = 200
"""Deeper than this nothing in a body is followed; an event may nest less deeply, in any shape of body."""
_BRACES_OF_AN_EVENT: Final = 4
_AT_ONCE_BYTES: Final = 65_536
"""A body of this size takes a few milliseconds at most, whatever is in it; a larger one is cut up beside the loop."""
_NOTHING: Final = msgspec.Raw(b"")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")

_Decoded = TypeVar("_Decoded")


class _Body(JsonEvent, forbid_unknown_fields=True):
    """Both object shapes at once: an event, or a source and its events."""

    events: list[JsonEvent] | msgspec.UnsetType = msgspec.UNSET


class _RawBody(msgspec.Struct):
    """What makes an object a batch, as it is written; empty if it is absent."""

    events: msgspec.Raw = _NOTHING
    source: msgspec.Raw = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsBody:
    """What a body holds."""

    single: bool = False
    """The body was one event by itself."""
    source: str | None = None
    """The source of the batch."""
    events: Sequence[ReadEvent] = ()
    """In the order of the body."""
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    """What is wrong with the body as a whole, by field; there are no events then."""


_ARRAY: Final = msgspec.json.Decoder(list[JsonEvent])
_OBJECT: Final = msgspec.json.Decoder(_Body)
_RAW_BODY: Final = msgspec.json.Decoder(_RawBody)
_ANYTHING: Final = msgspec.json.Decoder(msgspec.Raw)
_PIECES: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


class BodyReader:
    """Reads bodies. Large ones that have to be cut up are read one at a time, in a thread."""

    def __init__(self, policy: EventPolicy) -> None:
        self._policy = policy
        self._turn = asyncio.Lock()

    async def read(self, body: bytes) -> EventsBody:
        """See `read_body`."""
        body = body.removeprefix(_BYTE_ORDER_MARK)
        at_once = _read_at_once(body, self._policy)
        if at_once is not None:
            return at_once
        if len(body) <= _AT_ONCE_BYTES:
            return _read_each(body, self._policy)
        async with self._turn:
            return await asyncio.to_thread(_read_each, body, self._policy)


def read_body(body: bytes, policy: EventPolicy) -> EventsBody:
    """Reads a body.

    Raises MalformedBodyError if it is not JSON, TooLargeError if it has too many events, before any is read. JSON of
    another shape is answered in `errors`.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    at_once = _read_at_once(body, policy)
    return at_once if at_once is not None else _read_each(body, policy)


def _read_at_once(body: bytes, policy: EventPolicy) -> EventsBody | None:
    """A body of well-typed events; None if it is not, or may have far too many."""
    most = policy.max_events_per_request
    if body.count(b"{") > _BRACES_OF_AN_EVENT * most + 1 or not is_clean_json(body):
        return None
    try:
        if body.lstrip(_WHITE_SPACE).startswith(b"["):
            read = EventsBody(events=_ARRAY.decode(body))
        else:
            whole = _OBJECT.decode(body)
            if whole.events is msgspec.UNSET:
                return EventsBody(single=True, events=[whole])
            read = EventsBody(source=whole.source, events=whole.events)
    except (ValueError, RecursionError):
        return None
    if len(read.events) > most:
        raise TooLargeError(limit=most, unit="events")
    return read


def _read_each(body: bytes, policy: EventPolicy) -> EventsBody:
    """Reads each event by itself."""
    marks = None
    if not is_clean_json(body):
        marks = Marks.of(body)
        body = mark_unclean(body, marks.unclean)
    try:
        _ANYTHING.decode(body)
    except RecursionError:
        marks = marks or Marks.of(body)
        body = mark_deep(body, marks.deep, deepest=_DEEPEST_AROUND)
    except msgspec.DecodeError as error:
        raise _malformed(error) from None
    start = body.lstrip(_WHITE_SPACE)[:1]
    if start == b"[":
        return EventsBody(events=_read_pieces(body, marks, policy))
    if start != b"{":
        return EventsBody(errors={"body": ["must be an event, an object with events, or an array of events"]})
    batch = _decode(_RAW_BODY, body)
    events, source = bytes(batch.events), bytes(batch.source)
    if not events:
        return EventsBody(single=True, events=[read_event(body.strip(_WHITE_SPACE), marks, policy)])
    errors: dict[str, list[str]] = {}
    if source not in (b"", b"null") and not source.startswith(b'"'):
        errors["source"] = ["must be text"]
    elif marks is not None and marks.unclean in source:
        errors["source"] = [NOT_TEXT]
    if not events.startswith(b"["):
        errors["events"] = ["must be an array"]
    if errors:
        return EventsBody(errors=errors)
    text = _TEXT.decode(source) if source.startswith(b'"') else None
    return EventsBody(source=text, events=_read_pieces(events, marks, policy))


def _read_pieces(array: bytes, marks: Marks | None, policy: EventPolicy) -> list[ReadEvent]:
    most = policy.max_events_per_request
    if array.count(b",") < most:
        return [read_event(bytes(piece), marks, policy) for piece in _decode(_PIECES, array)]
    try:
        pieces = msgspec.structs.astuple(_elements(most).decode(array))
    except msgspec.ValidationError:
        raise TooLargeError(limit=most, unit="events") from None
    except msgspec.DecodeError as error:
        raise _malformed(error) from None
    return [read_event(bytes(piece), marks, policy) for piece in pieces if piece is not _NOTHING]


@lru_cache(maxsize=2)
def _elements(most: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """Decodes an array of at most `most` elements, each as it is written, and gives up at the first beyond them.

    A list of elements would be made in full before it can be counted: 370 MB for eight MiB of `[1,1,1,…]`. A structure
    of as many fields ends at its last field, in two milliseconds.
    """
    fields = [(f"e{index}", msgspec.Raw, _NOTHING) for index in range(most)]
    return msgspec.json.Decoder(msgspec.defstruct("Elements", fields, array_like=True, forbid_unknown_fields=True))


def _decode(decoder: msgspec.json.Decoder[_Decoded], text: bytes) -> _Decoded:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise _malformed(error) from None


def _malformed(error: msgspec.DecodeError) -> MalformedBodyError:
    """Says where a body stops being JSON."""
    found = _BYTE.search(str(error))
    return MalformedBodyError(problem=f"it is wrong at byte {found[1]}" if found else "it ends too early")
