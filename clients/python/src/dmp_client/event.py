"""Turns the arguments of `track()` into the bytes that are sent, once and for all: id and time are fixed here, and
nothing that the caller changes afterwards changes the event.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from dmp_client.errors import InvalidEventError

MAX_EVENT_BYTES: Final = 1 << 20
"""Far above what the server takes for one event (16 KiB of metadata); it keeps a mistake out of the spool."""

_MAX_ID_LENGTH: Final = 255
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def new_event_id() -> str:
    """A UUIDv7: unique without coordination, and sorted by time."""
    bits = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (bits >> 68) << 64 | 0b10 << 62 | (bits & (1 << 62) - 1)
    return str(uuid.UUID(int=value))


def encode_event(
    *,
    type: str,
    event_id: str | None,
    campaign_id: str | None,
    creative_id: str | None,
    source: str | None,
    user_id: str | int | None,
    identifiers: Mapping[str, str | int] | None,
    metadata: Mapping[str, Any] | None,
    occurred_at: datetime | str | None,
    timestamp: float | None,
    ts: datetime | str | None,
) -> tuple[str, bytes]:
    """The event's id and its JSON. Raises InvalidEventError, which names the argument."""
    if event_id is None:
        event_id = new_event_id()
    else:
        _check_text("event_id", event_id, most=_MAX_ID_LENGTH)
    _check_text("type", type, most=_MAX_ID_LENGTH)
    given = [
        name
        for name, value in (("occurred_at", occurred_at), ("timestamp", timestamp), ("ts", ts))
        if value is not None
    ]
    if len(given) > 1:
        raise InvalidEventError(given[1], f"cannot stand beside {given[0]}: an event has one time")
    event: dict[str, Any] = {"event_id": event_id, "type": type}
    for name, text in (("campaign_id", campaign_id), ("creative_id", creative_id), ("source", source)):
        if text is not None:
            _check_text(name, text)
            event[name] = text
    if user_id is not None:
        event["user_id"] = _identifier("user_id", user_id)
    if identifiers is not None:
        event["identifiers"] = _identifiers(identifiers)
    if given:
        event[given[0]] = _time(given[0], occurred_at or ts or timestamp)
    elif campaign_id is not None:
        event["occurred_at"] = _now_text()
    else:
        _as_identified(event)
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise InvalidEventError("metadata", "must be a mapping")
        event["metadata"] = dict(metadata)
    return event_id, _encode(event)


def _as_identified(event: dict[str, Any]) -> None:
    """An event without campaign and time becomes an identified event: that form has no limit on how late it may
    arrive, while the one with `ts` is refused two minutes after.
    """
    identifiers = event.setdefault("identifiers", {})
    if not identifiers:
        if "user_id" not in event:
            raise InvalidEventError("campaign_id", "or user_id or identifiers must be given")
        identifiers["user_id"] = event["user_id"]
    if "source" not in event:
        raise InvalidEventError("source", "must be given, here or for the client")
    event["timestamp"] = time.time_ns() // 1000 / 1_000_000


def _encode(event: dict[str, Any]) -> bytes:
    try:
        body = _ENCODER.encode(event).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        field, problem = _first_problem("metadata", event.get("metadata"), 0)
        raise InvalidEventError(field, problem) from None
    if len(body) > MAX_EVENT_BYTES:
        raise InvalidEventError("metadata", f"makes the event larger than {MAX_EVENT_BYTES} bytes")
    if b"\\u0000" in body or b"\\ud" in body:
        # Rare enough to look closer only here: NUL characters and lone surrogates are refused by the server.
        _check_all_text(event)
    return body


def _check_all_text(event: Mapping[str, Any]) -> None:
    for name, value in event.items():
        for text in _texts(value):
            _check_characters(name, text)


def _texts(value: Any) -> list[str]:  # noqa: ANN401  # any JSON value
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in _texts(part)]
    return []


def _first_problem(path: str, value: Any, depth: int) -> tuple[str, str]:  # noqa: ANN401 - any value
    """Where in a value the first thing stands that JSON cannot carry, and what it is."""
    if depth > 64:
        return path, "is nested too deeply, or contains itself"
    parts: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                return path, f"has a key of type {type(key).__name__}; keys must be texts"
            parts.append((f"{path}.{key}", part))
    elif isinstance(value, (list, tuple)):
        parts = [(f"{path}[{position}]", part) for position, part in enumerate(value)]
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return path, "must be a finite number"
    elif value is not None and not isinstance(value, (str, int, bool)):
        return path, f"is of type {type(value).__module__}.{type(value).__qualname__}, which JSON cannot carry"
    for name, part in parts:
        found = _first_problem(name, part, depth + 1)
        if found[0]:
            return found
    return "", ""


def _check_text(name: str, text: object, *, most: int | None = None) -> None:
    if not isinstance(text, str):
        raise InvalidEventError(name, f"must be a text, not {type(text).__name__}")
    if not text.strip():
        raise InvalidEventError(name, "must not be empty")
    if most is not None and len(text) > most:
        raise InvalidEventError(name, f"must have at most {most} characters")


def _check_characters(name: str, text: str) -> None:
    if "\0" in text:
        raise InvalidEventError(name, "must not contain a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidEventError(name, "contains half a character (a lone surrogate)") from None


def _identifier(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidEventError(name, f"must be a text or a whole number, not {type(value).__name__}")
    text = str(value)
    _check_text(name, text)
    return text


def _identifiers(identifiers: object) -> dict[str, str]:
    if not isinstance(identifiers, Mapping):
        raise InvalidEventError("identifiers", "must be a mapping of identifier types to values")
    named: dict[str, str] = {}
    for kind, value in identifiers.items():
        if not isinstance(kind, str):
            raise InvalidEventError("identifiers", "must have texts as keys")
        if value is not None:
            named[kind] = _identifier(f"identifiers.{kind}", value)
    return named


def _time(name: str, moment: object) -> str | float:
    if name == "timestamp":
        if isinstance(moment, bool) or not isinstance(moment, (int, float)):
            raise InvalidEventError(name, "must be a number of seconds since 1970")
        return moment
    if isinstance(moment, str):
        _check_text(name, moment)
        return moment
    if not isinstance(moment, datetime):
        raise InvalidEventError(name, "must be a datetime with a time zone, or an RFC 3339 text")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidEventError(name, "has no time zone: use datetime.now(timezone.utc)")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _now_text() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
