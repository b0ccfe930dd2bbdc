"""Reads the JSON body of `POST /events`: one event, an object with `source` and `events`, or an array of events.

A body of well-typed events is decoded in one go. If anything in it is not as it should be, each event is read by
itself, so that one bad
event is refused in its place and its neighbours are not: that path is slower and says exactly what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Never, TypeAlias

import msgspec

from dmp_ingest.domain.errors import MalformedBodyError
from dmp_ingest.domain.event import RefusedEvent, SubmittedEvent, UnreadableEvent
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.json_text import is_clean, is_surely_clean

ReadEvent: TypeAlias = SubmittedEvent | UnreadableEvent | RefusedEvent
_AwareDatetime: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

_WHITE_SPACE: Final = b" \t\n\r"
_TEXT_FIELDS: Final = ("event_id", "type", "event_type", "source", "campaign_id", "creative_id")
_NOT_TEXT: Final = "must be valid text without NUL characters"
_SHOWN_NAME_LENGTH: Final = 64
_TIME_FIELDS: Final = ("occurred_at", "ts")


class _Event(SubmittedEvent):
    """An event in JSON: its times are ISO 8601 with an offset."""

    occurred_at: _AwareDatetime | None = None
    ts: _AwareDatetime | None = None


class _Body(_Event):
    """Both object shapes at once: an event, or a source and its events."""

    events: list[_Event] | msgspec.UnsetType = msgspec.UNSET


class _RawBatch(msgspec.Struct):
    """The batch shape with its events still as bytes."""

    events: list[msgspec.Raw]
    source: str | None = None


class _RawMetadata(msgspec.Struct):
    """The one field of an event that is kept as it was sent."""

    metadata: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsBody:
    """What a body holds. single: it was one event by itself. source: that of the batch. events: in the order of the
    body.

    errors: what is wrong with the body as a whole, by field; there are no events then.
    """

    single: bool = False
    source: str | None = None
    events: Sequence[ReadEvent] = ()
    errors: Mapping[str, list[str]] = field(default_factory=dict)


class _NumberText(str):
    """A JSON number as it was written."""

    __slots__ = ()


_ARRAY: Final = msgspec.json.Decoder(list[_Event])
_OBJECT: Final = msgspec.json.Decoder(_Body)
_EVENT: Final = msgspec.json.Decoder(_Event)
_RAW_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_BATCH: Final = msgspec.json.Decoder(_RawBatch)
_RAW_METADATA: Final = msgspec.json.Decoder(_RawMetadata)


def read_body(body: bytes, policy: EventPolicy) -> EventsBody:
    """Reads a body. Raises MalformedBodyError if it is not JSON; JSON of another shape is answered in `errors`."""
    start = body.lstrip(_WHITE_SPACE)[:1]
    if not is_surely_clean(body):
        return _read_one_by_one(body, start, policy)
    try:
        if start == b"[":
            return EventsBody(events=_ARRAY.decode(body))
        if start == b"{":
            whole = _OBJECT.decode(body)
            if whole.events is msgspec.UNSET:
                return EventsBody(single=True, events=[whole])
            return EventsBody(source=whole.source, events=whole.events)
    except (ValueError, RecursionError):
        pass
    return _read_one_by_one(body, start, policy)


def _read_one_by_one(body: bytes, start: bytes, policy: EventPolicy) -> EventsBody:
    """Reads each event by itself, so that a bad one does not spoil the others."""
    try:
        if start == b"[":
            return EventsBody(events=[_read_piece(piece, policy) for piece in _RAW_ARRAY.decode(body)])
        batch = _RAW_BATCH.decode(body)
        return EventsBody(source=batch.source, events=[_read_piece(piece, policy) for piece in batch.events])
    except (ValueError, RecursionError):
        return _read_whole(body, policy)


def _read_piece(piece: msgspec.Raw, policy: EventPolicy) -> ReadEvent:
    raw = bytes(piece)
    if not is_surely_clean(raw) and not is_clean(value := _load(raw)):
        return _read_event(value, raw, policy)
    try:
        return _EVENT.decode(raw)
    except (ValueError, RecursionError):
        return _read_event(_load(raw), raw, policy)


def _read_whole(body: bytes, policy: EventPolicy) -> EventsBody:
    """The last resort: one event by itself, other shapes, and bodies with text that no UTF-8 can carry."""
    whole = _load(body)
    if isinstance(whole, list):
        return EventsBody(events=[_read_event(event, b"", policy) for event in whole])
    if not isinstance(whole, dict):
        return EventsBody(errors={"body": ["must be an event, an object with events, or an array of events"]})
    if "events" not in whole:
        return EventsBody(single=True, events=[_read_event(whole, body, policy)])
    errors: dict[str, list[str]] = {}
    source = _text("source", whole.get("source"), errors)
    if not isinstance(whole["events"], list):
        errors["events"] = ["must be an array"]
    if errors:
        return EventsBody(errors=errors)
    return EventsBody(source=source, events=[_read_event(event, b"", policy) for event in whole["events"]])


def _load(body: bytes) -> object:
    """Decodes JSON with numbers as they were written. Bytes that are not UTF-8 become lone surrogates, which no field
    accepts."""
    try:
        return _JSON.decode(body.decode("utf-8", errors="surrogateescape"))
    except json.JSONDecodeError as error:
        raise MalformedBodyError(problem=f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise MalformedBodyError(problem="it is nested too deeply") from None
    except ValueError:
        raise MalformedBodyError(problem="it has a number that JSON does not know") from None


def _read_event(value: object, raw: bytes, policy: EventPolicy) -> ReadEvent:
    """Reads one decoded event field by field and names every field that has the wrong type. raw: its bytes, or
    empty."""
    if not isinstance(value, dict):
        return RefusedEvent(event_id="", errors={"event": ["must be a JSON object"]})
    errors: dict[str, list[str]] = {}
    for name, item in value.items():
        if not is_clean(name):
            errors["event"] = ["has a field whose name is not valid text"]
        elif name != "identifiers" and not is_clean(item):
            errors[name[:_SHOWN_NAME_LENGTH]] = [_NOT_TEXT]
    fields: dict[str, Any] = {}
    for name in _TEXT_FIELDS:
        fields[name] = _text(name, value.get(name), errors)
    fields["user_id"] = _text("user_id", value.get("user_id"), errors, number_allowed=True)
    for name in _TIME_FIELDS:
        fields[name] = _time(name, value.get(name), errors)
    fields["timestamp"] = _seconds("timestamp", value.get("timestamp"), errors)
    fields["identifiers"] = _identifiers(value.get("identifiers"), policy, errors)
    fields["metadata"] = _metadata(value.get("metadata"), raw, errors)
    if not errors:
        return SubmittedEvent(**fields)
    event_id = fields["event_id"] if "event_id" not in errors else None
    fields |= {name: stand_in for name, stand_in in _stand_ins(policy).items() if name in errors}
    if any(name.startswith("identifiers") for name in errors):
        fields["identifiers"] = {**(fields["identifiers"] or {}), "user_id": "?"}
    return UnreadableEvent(event_id=event_id or "", readable=SubmittedEvent(**fields), errors=errors)


def _stand_ins(policy: EventPolicy) -> dict[str, Any]:
    """For each field something that no rule minds."""
    now = datetime.now(UTC)
    return {
        **dict.fromkeys(("event_id", "source", "campaign_id", "creative_id", "user_id"), "?"),
        "type": next(iter(policy.counts_as)),
        "event_type": next(iter(policy.counts_as)),
        "occurred_at": now,
        "ts": now,
        "timestamp": now.timestamp(),
        "metadata": msgspec.Raw(b""),
    }


def _text(field: str, value: object, errors: dict[str, list[str]], *, number_allowed: bool = False) -> str | None:
    if value is None:
        return None
    if isinstance(value, _NumberText):
        if number_allowed:
            return str(value)
    elif isinstance(value, str):
        if is_clean(value):
            return value
        errors[field] = [_NOT_TEXT]
        return None
    errors[field] = ["must be text or a number" if number_allowed else "must be text"]
    return None


def _time(field: str, value: object, errors: dict[str, list[str]]) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str) and not isinstance(value, _NumberText) and is_clean(value):
        try:
            stamp = datetime.fromisoformat(value)
        except ValueError:
            stamp = None
        if stamp is not None and stamp.tzinfo is not None and "T" in value.upper():
            return stamp
    errors[field] = ["must be an ISO 8601 time with Z or an offset, such as 2026-02-10T21:10:00Z"]
    return None


def _seconds(field: str, value: object, errors: dict[str, list[str]]) -> int | float | None:
    if value is None:
        return None
    if isinstance(value, _NumberText):
        try:
            return int(value)
        except ValueError:
            return float(value)
    errors[field] = ["must be a number of Unix seconds"]
    return None


def _identifiers(value: object, policy: EventPolicy, errors: dict[str, list[str]]) -> dict[str, str | None] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        errors["identifiers"] = ["must be an object"]
        return None
    read: dict[str, str | None] = {}
    for name, item in value.items():
        if not is_clean(name):
            errors["identifiers"] = ["has a name that is not valid text"]
            continue
        number_allowed = policy.identifier_names.get(name) not in policy.text_only_identifiers
        read[name] = _text(f"identifiers.{name}", item, errors, number_allowed=number_allowed)
    return read


def _metadata(value: object, raw: bytes, errors: dict[str, list[str]]) -> msgspec.Raw:
    """Metadata as it was sent; written again if the event around it cannot be decoded as it is."""
    if value is None:
        return msgspec.Raw(b"")
    if not isinstance(value, dict):
        errors["metadata"] = ["must be a JSON object"]
        return msgspec.Raw(b"")
    try:
        return _RAW_METADATA.decode(raw).metadata
    except (ValueError, RecursionError):
        pass
    try:
        return msgspec.Raw(_write_json(value).encode())
    except UnicodeEncodeError:
        errors["metadata"] = [_NOT_TEXT]
    except RecursionError:
        errors["metadata"] = ["is nested too deeply"]
    return msgspec.Raw(b"")


def _write_json(value: object) -> str:
    if isinstance(value, _NumberText):
        return str(value)
    if isinstance(value, Mapping):
        return (
            "{"
            + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_write_json(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_write_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


_JSON: Final = json.JSONDecoder(parse_float=_NumberText, parse_int=_NumberText, parse_constant=_refuse_constant)
