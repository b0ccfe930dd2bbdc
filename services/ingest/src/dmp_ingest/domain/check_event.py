"""Decides whether an event may be stored. Reports every problem by field, not only the first."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from dmp_ingest.domain.event import AcceptableEvent, RefusedEvent, SubmittedEvent
from dmp_ingest.domain.event_key import event_key, fingerprint
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.event_time import EARLIEST_US, LATEST_US, microseconds

_MAX_ID_LENGTH: Final = 255
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_NOT_TEXT: Final = "must be valid text without NUL characters"


def check_event(
    event: SubmittedEvent, *, policy: EventPolicy, now_us: int, batch_source: str | None, new_event_id: str
) -> AcceptableEvent | RefusedEvent:
    """Applies every rule of the policy to one event.

    now_us: the server's clock, microseconds since 1970. batch_source: the source of an event that names none. new_event_id: the id that an
    identified event without one gets.
    """
    errors: dict[str, list[str]] = {}
    identified = event.timestamp is not None
    occurred_at_us = _event_time(event, policy, now_us, errors)

    event_id = event.event_id
    if event_id is None and identified:
        event_id = new_event_id
    if not event_id:
        errors["event_id"] = ["is required"]
        event_id = ""
    else:
        _check_text("event_id", event_id, errors)

    if event.type is not None and event.event_type is not None and event.type != event.event_type:
        errors["type"] = ["type and event_type are one field: they must not differ"]
    event_type = event.type if event.type is not None else event.event_type
    counts_as = policy.counts_as.get(event_type or "", -1)
    if counts_as < 0:
        field = "event_type" if event.type is None and (identified or event.event_type is not None) else "type"
        errors.setdefault(field, []).append("is required" if not event_type else f"must be one of {', '.join(policy.counts_as)}")

    source = event.source or batch_source or ""
    if source:
        _check_text("source", source, errors)
    elif event.ts is None:
        errors["source"] = ["is required"]

    campaign_id = event.campaign_id or ""
    if campaign_id:
        _check_text("campaign_id", campaign_id, errors)
    elif event.occurred_at is not None:
        errors["campaign_id"] = ["is required"]
    creative_id = event.creative_id or ""
    if creative_id:
        _check_text("creative_id", creative_id, errors)

    user_id = event.user_id.strip() if event.user_id else ""
    if user_id:
        _check_text("user_id", user_id, errors)
    elif event.ts is not None:
        errors["user_id"] = ["is required"]

    identifiers, person = _identifiers(event, user_id, policy, errors)
    if identified and not any(value for value in (event.identifiers or {}).values()) and not identifiers:
        errors.setdefault("identifiers", []).append("at least one value is required")

    metadata = bytes(event.metadata)
    if metadata == b"null":
        metadata = b""
    if metadata:
        _check_metadata(metadata, policy, errors)

    if errors:
        return RefusedEvent(event_id=event_id if "event_id" not in errors else "", errors=errors)
    assert event_type is not None
    content = f"{event_type}\0{source}\0{occurred_at_us}\0{campaign_id}\0{creative_id}\0{user_id}\0{identifiers}\0"
    return AcceptableEvent(
        key=event_key(event_id),
        fingerprint=fingerprint(content.encode() + metadata),
        event_id=event_id,
        type=event_type,
        counts_as=counts_as,
        source=source,
        occurred_at_us=occurred_at_us,
        campaign_id=campaign_id,
        creative_id=creative_id,
        user_id=user_id,
        person=person,
        identifiers=identifiers,
        metadata=metadata,
    )


def _event_time(event: SubmittedEvent, policy: EventPolicy, now_us: int, errors: dict[str, list[str]]) -> int:
    """When the event happened, in microseconds since 1970; reports a missing, double or impossible time."""
    stamp = event.occurred_at
    field = "occurred_at"
    if stamp is None:
        stamp, field = event.ts, "ts"
    given = (event.occurred_at is not None) + (event.ts is not None) + (event.timestamp is not None)
    if given != 1:
        name = "timestamp" if event.event_type is not None else "occurred_at"
        errors[name] = ["exactly one of occurred_at, ts and timestamp is required"]
        return 0
    if stamp is None:
        field = "timestamp"
        seconds = event.timestamp or 0
        if not EARLIEST_US / 1e6 <= seconds <= LATEST_US / 1e6:
            errors[field] = ["must be a time in Unix seconds between the years 1 and 9999"]
            return 0
        occurred_at_us = round(seconds * 1_000_000)
    else:
        occurred_at_us = microseconds(stamp)
    if not EARLIEST_US <= occurred_at_us <= LATEST_US:
        errors[field] = ["must be a time between the years 1 and 9999"]
    elif event.ts is not None:
        if abs(occurred_at_us - now_us) > policy.max_activity_skew_us:
            errors[field] = [f"must be within {policy.max_activity_skew_us // 1_000_000} seconds of the server's clock"]
    elif occurred_at_us - now_us > policy.max_ahead_us:
        errors[field] = [f"must not be more than {policy.max_ahead_us // 3_600_000_000} hours ahead of the server's clock"]
    return occurred_at_us


def _check_text(field: str, value: str, errors: dict[str, list[str]], max_length: int = _MAX_ID_LENGTH) -> None:
    if len(value) > max_length:
        errors.setdefault(field, []).append(f"must have at most {max_length} characters")
    if "\x00" in value or (not value.isascii() and not _is_encodable(value)):
        errors.setdefault(field, []).append(_NOT_TEXT)


def _is_encodable(value: str) -> bool:
    """False for text with a lone surrogate, which no UTF-8 can carry."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identifiers(
    event: SubmittedEvent, user_id: str, policy: EventPolicy, errors: dict[str, list[str]]
) -> tuple[tuple[tuple[str, str], ...], str]:
    """The event's identifiers, its own user id first, and the user id that the live window counts."""
    found: dict[tuple[str, str], None] = {}
    person = user_id
    if user_id:
        found["user_id", user_id] = None
    for name, raw in (event.identifiers or {}).items():
        kind = policy.identifier_names.get(name)
        if kind is None:
            shown = name if len(name) <= 64 and _is_encodable(name) and "\x00" not in name else "(unreadable)"
            errors[f"identifiers.{shown}"] = [f"is not a known identifier: {', '.join(policy.identifier_names)}"]
            continue
        value = raw.strip() if raw is not None else ""
        if not value:
            continue
        _check_text(f"identifiers.{name}", value, errors, policy.identifier_lengths[kind])
        found[kind, value] = None
        if kind == "user_id" and not person:
            person = value
    return tuple(found), person


def _check_metadata(metadata: bytes, policy: EventPolicy, errors: dict[str, list[str]]) -> None:
    """Metadata must be a JSON object that PostgreSQL can hold: valid text, no NUL, not too large, not too deep."""
    if metadata[:1] != b"{":
        errors["metadata"] = ["must be a JSON object"]
        return
    if len(metadata) > policy.max_metadata_bytes:
        errors["metadata"] = [f"must have at most {policy.max_metadata_bytes} bytes"]
        return
    if metadata.count(b"{") + metadata.count(b"[") > policy.max_metadata_depth and _depth(metadata) > policy.max_metadata_depth:
        errors["metadata"] = [f"must not be nested deeper than {policy.max_metadata_depth} levels"]
        return
    if b"\\" in metadata or not metadata.isascii():
        try:
            clean = b"\\u0000" not in metadata or not _holds_nul(msgspec.json.decode(metadata))
            msgspec.json.decode(metadata)
        except ValueError:
            clean = False
        if not clean:
            errors["metadata"] = [_NOT_TEXT]


def _depth(json: bytes) -> int:
    """How deep the brackets of a JSON text nest, without recursion; brackets inside strings do not count."""
    deepest = level = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", json)):
        level += 1 if bracket in b"{[" else -1
        deepest = max(deepest, level)
    return deepest


def _holds_nul(value: object) -> bool:
    """Whether any text inside a decoded JSON value has a NUL character."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))
