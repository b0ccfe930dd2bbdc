"""Turns the arguments of `track()` into the bytes that are sent, once and for all: id and time are fixed here, and
nothing that the caller changes afterwards changes the event.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from dmp_client.errors import InvalidEventError
from dmp_client.event_id import new_event_id

MAX_EVENT_BYTES: Final = 1 << 20
"""Far above what the server takes for one event (16 KiB of metadata); it keeps a mistake out of the spool."""

_MAX_ID_LENGTH: Final = 255
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
"""Takes everything that JSON can carry, and nothing else."""
_QUICK_ENCODER: Final = msgspec.json.Encoder()
"""Five times as fast. It takes more than JSON can carry (NaN, dates, sets), so it is given plain values only."""
_PLAIN: Final = frozenset({str, int, bool, type(None)})


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
    now = time.time_ns()
    if event_id is None:
        event_id = new_event_id(now)
    else:
        _check_text("event_id", event_id, _MAX_ID_LENGTH)
    _check_text("type", type, _MAX_ID_LENGTH)
    event: dict[str, Any] = {"event_id": event_id, "type": type}
    if campaign_id is not None:
        event["campaign_id"] = _check_text("campaign_id", campaign_id)
    if creative_id is not None:
        event["creative_id"] = _check_text("creative_id", creative_id)
    if source is not None:
        event["source"] = _check_text("source", source)
    if user_id is not None:
        event["user_id"] = _identifier("user_id", user_id)
    if identifiers is not None:
        event["identifiers"] = _identifiers(identifiers)
    if occurred_at is not None or timestamp is not None or ts is not None:
        name, moment = _given_time({"occurred_at": occurred_at, "timestamp": timestamp, "ts": ts})
        event[name] = _time(name, moment)
    elif campaign_id is not None:
        event["occurred_at"] = _text_of(now)
    else:
        _as_identified(event, now)
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise InvalidEventError("metadata", "must be a mapping")
        event["metadata"] = dict(metadata)
    return event_id, _encode(event)


def _given_time(times: Mapping[str, object]) -> tuple[str, object]:
    given = [(name, moment) for name, moment in times.items() if moment is not None]
    if len(given) > 1:
        raise InvalidEventError(given[1][0], f"cannot stand beside {given[0][0]}: an event has one time")
    return given[0]


def _as_identified(event: dict[str, Any], now: int) -> None:
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
    event["timestamp"] = now // 1000 / 1_000_000


def _encode(event: dict[str, Any]) -> bytes:
    body = _encode_quickly(event)
    try:
        if body is None:
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


def _encode_quickly(event: dict[str, Any]) -> bytes | None:
    """The JSON of an event whose metadata is flat and plain, as most are; None for any other."""
    for name, value in event.get("metadata", {}).items():
        kind = value.__class__
        if name.__class__ is not str or (kind not in _PLAIN and (kind is not float or not math.isfinite(value))):
            return None
    try:
        return _QUICK_ENCODER.encode(event)
    except (TypeError, ValueError, OverflowError):  # the other encoder takes it, or says what is wrong
        return None


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


def _check_text(name: str, text: object, most: int = MAX_EVENT_BYTES) -> str:
    if not isinstance(text, str):
        raise InvalidEventError(name, f"must be a text, not {type(text).__name__}")
    if not text or text.isspace():
        raise InvalidEventError(name, "must not be empty")
    if len(text) > most:
        raise InvalidEventError(name, f"must have at most {most} characters")
    return text


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
    return _check_text(name, str(value))


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


def _text_of(nanoseconds: int) -> str:
    """A moment as RFC 3339 text in UTC, with microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    known = _second.get(seconds)
    if known is None:
        known = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second.clear()
        _second[seconds] = known
    return f"{known}.{rest // 1000:06d}Z"


_second: Final[dict[int, str]] = {}
"""The text of the second that was asked for last: most events come in the same one."""
