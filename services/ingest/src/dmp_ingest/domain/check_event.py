"""Decides whether an event is valid. An invalid event is rejected with every problem of every field."""

from __future__ import annotations

from typing import Final

from dmp_ingest.domain.event import (
    AcceptableEvent,
    ForeignEvent,
    RejectedEvent,
    SubmittedEvent,
    UnreadableEvent,
    rejected_event,
)
from dmp_ingest.domain.event_key import fingerprint
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.event_time import event_time_us, plain_time_us
from dmp_ingest.domain.json_text import is_clean, is_clean_json, is_deeper

_MAX_ID_LENGTH: Final = 255
_TEXT_FIELDS: Final = ("event_id", "source", "campaign_id", "creative_id", "user_id")
_OPENING_BRACE: Final = ord("{")
MOST_IDENTIFIERS: Final = 64
TOO_MANY_IDENTIFIERS: Final = f"must have at most {MOST_IDENTIFIERS} entries"
_BACKSLASH: Final = ord("\\")
_FIRST_VISIBLE: Final = "!"
_DELETE: Final = "\x7f"
"""The last character of ASCII, which cannot be seen."""
NOT_TEXT: Final = "must be valid text without NUL characters"


def check_event(
    event: SubmittedEvent, event_id: str, key: bytes, policy: EventPolicy, now_us: int, batch_source: str
) -> AcceptableEvent | RejectedEvent:
    """Applies every rule of the policy to one event.

    event_id: the id under which it would be stored: its own, or the one that it is given; empty if it has none.
    key: the key of that id.
    now_us: the server's clock, in microseconds since 1970.
    batch_source: the source of an event that names none.

    Each step passes a valid event by a few cheap comparisons. Only where one of them fails, it looks at field by field.
    """
    errors: dict[str, list[str]] = {}
    occurred_at_us = plain_time_us(event)
    if not 0 < occurred_at_us <= now_us + policy.max_ahead_us:
        occurred_at_us = event_time_us(event, policy, now_us, errors)
    if not (_FIRST_VISIBLE <= event_id < _DELETE and event_id.isascii()) and not visible(event_id):
        errors["event_id"] = ["is required"]
    event_type = event.type if event.event_type is None else _one_type(event, errors)
    counts_as = policy.counts_as.get(event_type or "", -1)
    if counts_as < 0:
        _note_type(event, event_type, policy, errors)
    source, campaign_id, creative_id, user_id, content = _texts(event, event_id, event_type, batch_source, errors)
    person = user_id
    identifiers: tuple[tuple[str, str], ...] = (("user_id", user_id),) if user_id else ()
    if event.identifiers:
        identifiers, person, text = _identifiers(event.identifiers, user_id, policy, errors)
        content += text
    if event.timestamp is not None and not identifiers and not _identifier_errors(errors):
        errors["identifiers"] = ["at least one value is required"]

    metadata = bytes(event.metadata)
    if metadata:
        metadata = _metadata(metadata, policy, errors)
    if errors:
        # Nothing is stored, so no id is given.
        return rejected_event((event.event_id or "") if "event_id" not in errors else "", errors)
    return AcceptableEvent(
        key,
        fingerprint(f"{content[len(event_id) :]}\0{occurred_at_us}\0".encode() + metadata),
        event_id,
        event_type or "",
        counts_as,
        source,
        occurred_at_us,
        campaign_id,
        creative_id,
        user_id,
        person,
        identifiers,
        metadata,
    )


def check_unreadable(
    event: UnreadableEvent, event_id: str, key: bytes, policy: EventPolicy, now_us: int, batch_source: str
) -> RejectedEvent:
    """Rejects an event with fields of the wrong type.

    The other fields are checked too, so that all problems are named.
    """
    errors = dict(event.errors)
    readable = event.readable
    has_no_need = readable.event_id is None and readable.timestamp is not None
    checked = check_event(readable, "?" if has_no_need else event_id, key, policy, now_us, batch_source)
    if isinstance(checked, RejectedEvent):
        for field, problems in checked.errors.items():
            errors.setdefault(field, problems)
    return rejected_event(event_id if "event_id" not in errors else "", errors)


def check_foreign(
    event: ForeignEvent, event_id: str, key: bytes, policy: EventPolicy, now_us: int, batch_source: str
) -> AcceptableEvent | RejectedEvent:
    """Checks an event that has fields of another format.

    If it is rejected, it also says which of our fields they are.
    """
    checked = check_event(event.readable, event_id, key, policy, now_us, batch_source)
    if isinstance(checked, AcceptableEvent):
        return checked
    return rejected_event(checked.event_id, checked.errors | event.hints)


def too_deep(policy: EventPolicy) -> str:
    """The problem of a value that nests too deeply, in words."""
    return f"must not be nested deeper than {policy.max_metadata_depth} levels"


def visible(text: str) -> str:
    """The text if it has a visible character, else the empty text: nobody could type it into a question."""
    if text.isascii() and _FIRST_VISIBLE <= text[:1] < _DELETE:
        return text
    seen = any(character.isprintable() and not character.isspace() for character in text[: _MAX_ID_LENGTH + 1])
    return text if seen else ""


def _one_type(event: SubmittedEvent, errors: dict[str, list[str]]) -> str | None:
    """The type of an event that has `event_type`: another name of `type`, which must not differ."""
    if event.type is None:
        return event.event_type
    if event.type != event.event_type:
        errors["type"] = ["type and event_type are one field: they must not differ"]
    return event.type


def _note_type(
    event: SubmittedEvent, event_type: str | None, policy: EventPolicy, errors: dict[str, list[str]]
) -> None:
    """Notes what is wrong with a type that the policy does not know, under the name that its sender uses."""
    field = "event_type" if event.type is None and (event.event_type or event.timestamp is not None) else "type"
    problem = f"must be one of {', '.join(policy.counts_as)}" if event_type else "is required"
    errors.setdefault(field, []).append(problem)


def _texts(
    event: SubmittedEvent, event_id: str, event_type: str | None, batch_source: str, errors: dict[str, list[str]]
) -> tuple[str, str, str, str, str]:
    """The event's source, campaign, creative and user, empty where absent; and one text of all that it says with them
    and with its id and type, for the fingerprint. Notes what is missing, too long or not clean.
    """
    source = event.source or batch_source
    campaign_id = event.campaign_id or ""
    creative_id = event.creative_id or ""
    user_id = event.user_id.strip() if event.user_id else ""
    content = f"{event_id}\0{event_type}\0{source}\0{campaign_id}\0{creative_id}\0{user_id}"
    if (
        not content.isascii()
        or _DELETE in content
        or source < _FIRST_VISIBLE
        or (campaign_id and campaign_id < _FIRST_VISIBLE)
        or (creative_id and creative_id < _FIRST_VISIBLE)
    ):
        source = visible(source) or visible(batch_source)
        campaign_id, creative_id = visible(campaign_id), visible(creative_id)
        content = f"{event_id}\0{event_type}\0{source}\0{campaign_id}\0{creative_id}\0{user_id}"
    if not source and event.ts is None:
        errors["source"] = ["is required"]
    if not campaign_id and event.occurred_at is not None:
        errors["campaign_id"] = ["is required"]
    if not user_id and event.ts is not None:
        errors["user_id"] = ["is required"]
    if content.count("\0") != 5 or not content.isascii() or len(content) > _MAX_ID_LENGTH:
        texts = (event_id, source, campaign_id, creative_id, user_id)
        for field, text in zip(_TEXT_FIELDS, texts, strict=True):
            _check_text(field, text, errors)
    return source, campaign_id, creative_id, user_id, content


def _check_text(field: str, value: str, errors: dict[str, list[str]], max_length: int = _MAX_ID_LENGTH) -> None:
    if len(value) > max_length:
        errors.setdefault(field, []).append(f"must have at most {max_length} characters")
    if not is_clean(value):
        errors.setdefault(field, []).append(NOT_TEXT)


def _identifiers(
    sent: dict[str, str | None], user_id: str, policy: EventPolicy, errors: dict[str, list[str]]
) -> tuple[tuple[tuple[str, str], ...], str, str]:
    """Reads the identifiers of an event.

    Returns them as pairs of type and value, without blanks and repetitions, the event's own user id first; the user id
    among them, empty if there is none; and all that was sent in one text, for the fingerprint.
    """
    found = [("user_id", user_id)] if user_id else []
    person, text = user_id, ""
    names, lengths = policy.identifier_names, policy.identifier_lengths
    if len(sent) > MOST_IDENTIFIERS:
        errors["identifiers"] = [TOO_MANY_IDENTIFIERS]
        return (), "", ""
    for name, raw in sent.items():
        kind = names.get(name)
        if kind is None:
            shown = name if len(name) <= 64 and is_clean(name) else "(unreadable)"
            errors[f"identifiers.{shown}"] = [f"is not a known identifier: {', '.join(names)}"]
            continue
        value = raw.strip() if raw else ""
        if not value:
            continue
        if not value.isascii() or "\x00" in value or len(value) > lengths[kind]:
            _check_text(f"identifiers.{name}", value, errors, lengths[kind])
        identifier = (kind, value)
        if identifier not in found:
            found.append(identifier)
            text = f"{text}\0{kind}\0{value}"
            if not person and kind == "user_id":
                person = value
    return tuple(found), person, text


def _identifier_errors(errors: dict[str, list[str]]) -> bool:
    """Whether there is a problem with an identifier."""
    return any(field.startswith("identifiers") for field in errors)


def _metadata(metadata: bytes, policy: EventPolicy, errors: dict[str, list[str]]) -> bytes:
    """Metadata as it is stored: nothing for `null`, else what was sent.

    It must be a JSON object that PostgreSQL can hold: valid text, no NUL, not too large, not too deep.
    """
    if metadata == b"null":
        return b""
    if metadata[0] != _OPENING_BRACE:
        errors["metadata"] = ["must be a JSON object"]
    elif len(metadata) > policy.max_metadata_bytes:
        errors["metadata"] = [f"must have at most {policy.max_metadata_bytes} bytes"]
    elif is_deeper(metadata, policy.max_metadata_depth):
        errors["metadata"] = [too_deep(policy)]
    elif (_BACKSLASH in metadata or not metadata.isascii()) and not is_clean_json(metadata):
        errors["metadata"] = [NOT_TEXT]
    return metadata
