"""Reads the JSON body of `POST /events`: one event, an object with `source` and `events`, or an array of events.

A body whose events all have the right types is decoded at once. Any other body is cut into its events, and each is read
by itself (`json_event`): an invalid event is rejected in its place, and its neighbours are read as if it were not
there. Events are counted before they are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from dmp_ingest.api.json_event import JsonEvent, ReadEvent, decoded, read_event
from dmp_ingest.api.json_marks import cut_deep
from dmp_ingest.domain.check_event import NOT_TEXT
from dmp_ingest.domain.errors import TooLargeError
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.json_text import is_clean_json

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WHITE_SPACE: Final = b" \t\n\r"
_DEEPEST_AROUND: Final = 200
"""What nests deeper than this is cut out of a body before it is read. An event may nest far less deeply anyway."""
BRACES_OF_AN_EVENT: Final = 4
"""An event that is read at once has no more: its own, those of its identifiers, and those of flat metadata."""
_AT_ONCE_BYTES: Final = 65_536
"""A body of up to this size takes a few milliseconds at most, whatever is in it. A larger one is cut up in a thread."""
_MOST_ON_THE_LOOP_BYTES: Final = 1_048_576
"""To find out that a larger body is malformed can take a tenth of a second, so it is read in a thread."""
_NOTHING: Final = msgspec.Raw(b"")
_ESCAPE, _BACKSLASH, _NEITHER = b"\xfe", b"\xff", b"\xfd"
"""Bytes that no UTF-8 has."""


class _Body(JsonEvent, forbid_unknown_fields=True):
    """Both object shapes at once: an event, or a source and its events."""

    events: list[JsonEvent] | msgspec.UnsetType = msgspec.UNSET


class _RawBody(msgspec.Struct):
    """The members of an object that make it a batch, as they are written; empty if absent."""

    events: msgspec.Raw = _NOTHING
    source: msgspec.Raw = _NOTHING


class EventsBody(msgspec.Struct, kw_only=True, frozen=True):
    """What a body holds."""

    single: bool = False
    """Whether the body was one event by itself."""
    source: str | None = None
    """The source of the batch."""
    events: Sequence[ReadEvent] = ()
    """In the order of the body."""
    errors: Mapping[str, list[str]] = {}
    """What is wrong with the body as a whole, by field; there are no events then."""


_ARRAY: Final = msgspec.json.Decoder(list[JsonEvent])
_OBJECT: Final = msgspec.json.Decoder(_Body)
_RAW_BODY: Final = msgspec.json.Decoder(_RawBody)
_ANYTHING: Final = msgspec.json.Decoder(msgspec.Raw)
_PIECES: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


class BodyReader:
    """Reads bodies. Large ones, and those that must be cut up, are read one at a time, in a thread."""

    def __init__(self, policy: EventPolicy) -> None:
        self._policy = policy
        self._turn = asyncio.Lock()
        _elements(policy.max_events_per_request)

    async def read(self, body: bytes) -> EventsBody:
        """See `read_body`."""
        if len(body) > _MOST_ON_THE_LOOP_BYTES:
            async with self._turn:
                return await asyncio.to_thread(read_body, body, self._policy)
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
    start = body.lstrip(_WHITE_SPACE)[:1]
    if start not in (b"[", b"{") or body.count(b"{") > BRACES_OF_AN_EVENT * most + 1 or not is_clean_json(body):
        return None
    try:
        if start == b"[":
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
    whole = _Skeleton.of(body)
    start = body.lstrip(_WHITE_SPACE)[:1]
    if start == b"[":
        return EventsBody(events=_read_pieces(whole, policy))
    if start != b"{":
        decoded(_ANYTHING, body)
        return EventsBody(errors={"body": ["must be an event, an object with events, or an array of events"]})
    try:
        batch = decoded(_RAW_BODY, whole.text)
    except RecursionError:
        whole = whole.without_depth()
        batch = decoded(_RAW_BODY, whole.text)
    if not bytes(batch.events):
        return EventsBody(single=True, events=[read_event(whole.restored(whole.text.strip(_WHITE_SPACE)), policy)])
    source, errors = whole.restored(bytes(batch.source)), {}
    if source not in (b"", b"null") and not source.startswith(b'"'):
        errors["source"] = ["must be text"]
    elif not is_clean_json(source):
        errors["source"] = [NOT_TEXT]
    if not bytes(batch.events).startswith(b"["):
        errors["events"] = ["must be an array"]
    if errors:
        return EventsBody(errors=errors)
    text = decoded(_TEXT, source) if source.startswith(b'"') else None
    return EventsBody(source=text, events=_read_pieces(whole.part(bytes(batch.events)), policy))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Skeleton:
    """A body in which a decoder can find where its events begin and end, whatever their texts contain."""

    text: bytes
    is_changed: bool
    """Whether escapes were replaced by bytes that no UTF-8 has. So a decoder accepts lone surrogates."""

    @classmethod
    def of(cls, body: bytes) -> _Skeleton:
        if is_clean_json(body):
            return cls(text=body, is_changed=False)
        body = body.replace(_BACKSLASH, _NEITHER).replace(_ESCAPE, _NEITHER)
        return cls(text=body.replace(b"\\\\", _BACKSLASH).replace(b"\\u", _ESCAPE), is_changed=True)

    def part(self, text: bytes) -> _Skeleton:
        """A part of it."""
        return _Skeleton(text=text, is_changed=self.is_changed)

    def without_depth(self) -> _Skeleton:
        """The body without what nests so deeply that it is rejected anyway."""
        return self.part(cut_deep(self.text, b"0", deepest=_DEEPEST_AROUND))

    def restored(self, part: bytes) -> bytes:
        """A part as it was sent. Only bytes that are not UTF-8 may have become other bytes that are not."""
        return part.replace(_ESCAPE, b"\\u").replace(_BACKSLASH, b"\\\\") if self.is_changed else part


def _read_pieces(array: _Skeleton, policy: EventPolicy) -> list[ReadEvent]:
    try:
        pieces = _pieces(array.text, policy.max_events_per_request)
    except RecursionError:
        array = array.without_depth()
        pieces = _pieces(array.text, policy.max_events_per_request)
    return [read_event(array.restored(bytes(piece)), policy) for piece in pieces]


def _pieces(array: bytes, most: int) -> Sequence[msgspec.Raw]:
    """The elements of an array as they are written. Raises TooLargeError at the first beyond `most`."""
    if array.count(b",") < most:
        return decoded(_PIECES, array)
    try:
        elements = _elements(most).decode(array)
    except msgspec.ValidationError:
        raise TooLargeError(limit=most, unit="events") from None
    except msgspec.DecodeError:
        return decoded(_PIECES, array)
    return [piece for piece in msgspec.structs.astuple(elements) if piece is not _NOTHING]


@lru_cache(maxsize=2)
def _elements(most: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """Decodes an array of at most `most` elements, each as it is written, and gives up at the first beyond them.

    A list of elements would be made in full before it can be counted: 370 MB for eight MiB of `[1,1,1,…]`. A structure
    of as many fields ends at its last field, in two milliseconds.
    """
    fields = [(f"e{index}", msgspec.Raw, _NOTHING) for index in range(most)]
    return msgspec.json.Decoder(msgspec.defstruct("Elements", fields, array_like=True, forbid_unknown_fields=True))
