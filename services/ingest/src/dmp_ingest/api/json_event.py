"""Reads one JSON event, by itself: whatever stands beside it in a body, the result is the same.

An event whose fields have the right types is decoded at once. Any other event is read field by field. That names the
problem of each field, and it accepts what the quick way does not, such as numbers as identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from dmp_chassis.instants import WRONG_FORM, instant_problem
from dmp_ingest.api.json_marks import Marks, cut_deep, mark_unclean
from dmp_ingest.domain.check_event import NOT_TEXT, too_deep
from dmp_ingest.domain.errors import MalformedBodyError
from dmp_ingest.domain.event import (
    MOST_EVENT_BYTES,
    MOST_PROBLEMS,
    ForeignEvent,
    RejectedEvent,
    SubmittedEvent,
    UnreadableEvent,
)
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.json_text import is_clean_json, is_deeper

_Decoded = TypeVar("_Decoded")
ReadEvent: TypeAlias = SubmittedEvent | ForeignEvent | UnreadableEvent | RejectedEvent

_TEXT_FIELDS: Final = ("event_id", "type", "event_type", "source", "campaign_id", "creative_id")
_TIME_FIELDS: Final = ("occurred_at", "ts")
_SHOWN_NAME_LENGTH: Final = 64
_SHOWN_NUMBER_LENGTH: Final = 64
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_DIGITS: Final = frozenset(b"-0123456789")
_NOTHING: Final = msgspec.Raw(b"")
_HINTS: Final = {
    "specversion": "is a field of CloudEvents, which are not read as such",
    "id": "is a field of CloudEvents: here the id of an event is event_id",
    "time": "is a field of CloudEvents: here a time is occurred_at, ts or timestamp",
    "subject": "is a field of CloudEvents: here a person is user_id or one of identifiers",
    "data": "is a field of CloudEvents: here further data is metadata",
}
"""What is said of another format's fields if the event is rejected."""


class JsonEvent(SubmittedEvent, forbid_unknown_fields=True):
    """A well-typed event in JSON. Its times are text; fields that nobody knows are left to the reader of one event."""

    occurred_at: str | None = None
    ts: str | None = None


class _LenientEvent(SubmittedEvent):
    """The same with other fields, which are ignored. Those of another format are noticed."""

    occurred_at: str | None = None
    ts: str | None = None
    specversion: msgspec.Raw = _NOTHING
    id: msgspec.Raw = _NOTHING
    time: msgspec.Raw = _NOTHING
    subject: msgspec.Raw = _NOTHING
    data: msgspec.Raw = _NOTHING


class _RawFields(msgspec.Struct):
    """Every known field as it is written; empty if it is absent."""

    event_id: msgspec.Raw = _NOTHING
    type: msgspec.Raw = _NOTHING
    event_type: msgspec.Raw = _NOTHING
    source: msgspec.Raw = _NOTHING
    campaign_id: msgspec.Raw = _NOTHING
    creative_id: msgspec.Raw = _NOTHING
    user_id: msgspec.Raw = _NOTHING
    occurred_at: msgspec.Raw = _NOTHING
    ts: msgspec.Raw = _NOTHING
    timestamp: msgspec.Raw = _NOTHING
    identifiers: msgspec.Raw = _NOTHING
    metadata: msgspec.Raw = _NOTHING
    specversion: msgspec.Raw = _NOTHING
    id: msgspec.Raw = _NOTHING
    time: msgspec.Raw = _NOTHING
    subject: msgspec.Raw = _NOTHING
    data: msgspec.Raw = _NOTHING


_WELL_TYPED: Final = msgspec.json.Decoder(JsonEvent)
_EVENT: Final = msgspec.json.Decoder(_LenientEvent)
_RAW_FIELDS: Final = msgspec.json.Decoder(_RawFields)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def read_event(piece: bytes, policy: EventPolicy) -> ReadEvent:
    """Reads one event of a body that is JSON but for escapes.

    Raises MalformedBodyError if an escape is wrong, or if what is left out as too deep hid that it is not JSON.
    """
    if not piece.startswith(b"{"):
        return RejectedEvent(event_id="", errors={"event": ["must be a JSON object"]})
    unclean = not is_clean_json(piece)
    if len(piece) > MOST_EVENT_BYTES:
        return _read_large(piece, unclean)
    deepest = policy.max_metadata_depth + 1
    deep = is_deeper(piece, deepest)
    if unclean or deep:
        marks = Marks.of(piece)
        if unclean:
            piece = mark_unclean(piece, marks.unclean)
        if deep:
            piece = cut_deep(piece, b'"' + marks.deep + b'"', deepest=deepest)
        return _FieldReader(piece, marks, policy).read()
    try:
        event = _EVENT.decode(piece)
    except (ValueError, RecursionError):
        return _FieldReader(piece, None, policy).read()
    names = [name for name in _HINTS if bytes(getattr(event, name))]
    return ForeignEvent(readable=event, hints=_hints(names)) if names else event


def _read_large(piece: bytes, unclean: bool) -> ReadEvent:
    """Reads an event that is larger than any event needs to be.

    If its fields have the right types it is accepted here (it may consist of white space), else it is rejected without
    a look at its fields.
    """
    try:
        if not unclean:
            return _WELL_TYPED.decode(piece)
    except (ValueError, RecursionError):
        pass
    return RejectedEvent(event_id="", errors={"event": [f"must have at most {MOST_EVENT_BYTES:,} bytes"]})


def decoded(decoder: msgspec.json.Decoder[_Decoded], text: bytes) -> _Decoded:
    """Decodes a text. Raises MalformedBodyError, which says where the text stops being JSON."""
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        found = _BYTE.search(str(error))
        raise MalformedBodyError(problem=f"it is wrong at byte {found[1]}" if found else "it ends too early") from None


def _hints(names: list[str]) -> dict[str, list[str]]:
    return {name: [_HINTS[name]] for name in names}


class _FieldReader:
    """Reads one event field by field. `errors` maps each field to what is wrong with it."""

    def __init__(self, piece: bytes, marks: Marks | None, policy: EventPolicy) -> None:
        self._piece = piece
        self._marks = marks
        self._policy = policy
        self._too_deep = too_deep(policy)
        self.errors: dict[str, list[str]] = {}

    def read(self) -> ReadEvent:
        """The event, with all that is wrong with it."""
        self._look_at_all_fields()
        raw = decoded(_RAW_FIELDS, self._piece)
        fields: dict[str, Any] = {name: self._text(name, bytes(getattr(raw, name))) for name in _TEXT_FIELDS}
        fields["user_id"] = self._text("user_id", bytes(raw.user_id), number_allowed=True)
        for name in _TIME_FIELDS:
            fields[name] = self._time(name, bytes(getattr(raw, name)))
        fields["timestamp"] = self._seconds(bytes(raw.timestamp))
        fields["identifiers"] = self._identifiers(bytes(raw.identifiers))
        fields["metadata"] = self._metadata(bytes(raw.metadata))
        names = [name for name in _HINTS if bytes(getattr(raw, name))]
        if not self.errors:
            event = SubmittedEvent(**fields)
            return ForeignEvent(readable=event, hints=_hints(names)) if names else event
        event_id = fields["event_id"] if "event_id" not in self.errors else None
        fields |= {name: stand_in for name, stand_in in self._stand_ins().items() if name in self.errors}
        if any(name.startswith("identifiers") for name in self.errors):
            fields["identifiers"] = {**(fields["identifiers"] or {}), "user_id": "?"}
        for name, hint in _hints(names).items():
            self.errors.setdefault(name, hint)
        return UnreadableEvent(event_id=event_id or "", readable=SubmittedEvent(**fields), errors=self.errors)

    def _look_at_all_fields(self) -> None:
        """Names the fields with marks, also those that nobody reads."""
        if self._marks is None:
            return
        for name, value in decoded(_MEMBERS, self._piece).items():
            if len(self.errors) > MOST_PROBLEMS:
                return
            if self._marks.is_in_text(name):
                self.errors["event"] = ["has a field whose name is not valid text"]
            elif name != "identifiers" and (problem := self._mark_problem(bytes(value))):
                self.errors[name[:_SHOWN_NAME_LENGTH]] = [problem]

    def _mark_problem(self, raw: bytes) -> str:
        """What a mark in a value says; empty if there is none."""
        if self._marks is None:
            return ""
        if self._marks.unclean in raw:
            return NOT_TEXT
        return self._too_deep if self._marks.deep in raw else ""

    def _stand_ins(self) -> dict[str, Any]:
        """A valid value for each field."""
        known_type = next(iter(self._policy.counts_as))
        return {
            **dict.fromkeys(("event_id", "source", "campaign_id", "creative_id", "user_id"), "?"),
            "type": known_type,
            "event_type": known_type,
            "occurred_at": 1,
            "ts": 1,
            "timestamp": 1,
            "metadata": _NOTHING,
        }

    def _text(self, field: str, raw: bytes, *, number_allowed: bool = False) -> str | None:
        if raw in (b"", b"null"):
            return None
        problem = self._mark_problem(raw)
        if not problem:
            if raw.startswith(b'"'):
                return _TEXT.decode(raw)
            if number_allowed and raw[0] in _DIGITS:
                return raw.decode()
            problem = "must be text or a number" if number_allowed else "must be text"
        self.errors[field] = [problem]
        return None

    def _time(self, field: str, raw: bytes) -> str | None:
        if raw in (b"", b"null"):
            return None
        problem = self._mark_problem(raw)
        if not problem:
            if raw.startswith(b'"'):
                return _TEXT.decode(raw)
            is_number = raw[0] in _DIGITS and len(raw) <= _SHOWN_NUMBER_LENGTH
            problem = instant_problem(raw.decode()) if is_number else WRONG_FORM
        self.errors[field] = [problem]
        return None

    def _seconds(self, raw: bytes) -> int | float | None:
        if raw in (b"", b"null"):
            return None
        if raw[0] in _DIGITS:
            text = raw.decode()
            return int(text) if len(text) <= _SHOWN_NUMBER_LENGTH and text.lstrip("-").isdigit() else float(text)
        problem = "must be a number of Unix seconds"
        if raw.startswith(b'"'):
            digits = raw.strip(b'"')
            if digits.isdigit():
                problem += ", not text; milliseconds?" if len(digits) > 11 else ", not text"
        self.errors["timestamp"] = [problem]
        return None

    def _identifiers(self, raw: bytes) -> dict[str, str | None] | None:
        if raw in (b"", b"null"):
            return None
        problem = ""
        if not raw.startswith(b"{"):
            problem = self._mark_problem(raw) or "must be an object"
        if problem:
            self.errors["identifiers"] = [problem]
            return None
        return dict(self._each_identifier(raw))

    def _each_identifier(self, raw: bytes) -> Iterator[tuple[str, str | None]]:
        policy = self._policy
        for name, value in _MEMBERS.decode(raw).items():
            if len(self.errors) > MOST_PROBLEMS:
                return
            if self._marks is not None and self._marks.is_in_text(name):
                self.errors["identifiers"] = ["has a name that is not valid text"]
                continue
            number_allowed = policy.identifier_names.get(name) not in policy.text_only_identifiers
            shown = f"identifiers.{name[:_SHOWN_NAME_LENGTH]}"
            yield name, self._text(shown, bytes(value), number_allowed=number_allowed)

    def _metadata(self, raw: bytes) -> msgspec.Raw:
        """As it was sent."""
        if raw in (b"", b"null"):
            return _NOTHING
        problem = self._mark_problem(raw)
        if not problem:
            if raw.startswith(b"{"):
                return msgspec.Raw(raw)
            problem = "must be a JSON object"
        self.errors["metadata"] = [problem]
        return _NOTHING
