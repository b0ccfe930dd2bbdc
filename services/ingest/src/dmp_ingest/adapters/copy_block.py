"""Writes events as rows of PostgreSQL's binary COPY format: no text is escaped here and none is parsed there.

*Source:* the PostgreSQL manual, COPY, section "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import msgspec

from dmp_ingest.domain.event import AcceptableEvent

COLUMNS: Final = (
    "event_key",
    "batch_id",
    "fingerprint",
    "occurred_at",
    "received_at",
    "event_id",
    "type",
    "source",
    "campaign_id",
    "creative_id",
    "user_id",
    "identifiers",
    "metadata",
)
"""The order in which `copy_block` writes the columns of `event`."""

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
_FIXED: Final = struct.Struct("!hi16si16siqiqiq").pack
_LENGTH: Final = struct.Struct("!i").pack
_encode_json: Final = msgspec.json.Encoder().encode


class _TextFields(dict[str, bytes]):
    """The COPY field of each text; the empty text is NULL. Types, sources and campaigns repeat, so each is encoded
    once a block."""

    def __missing__(self, text: str) -> bytes:
        data = text.encode()
        self[text] = encoded = _LENGTH(len(data)) + data
        return encoded


def copy_block(events: Iterable[AcceptableEvent], *, batch_id: bytes, received_at_us: int) -> bytes:
    """The rows of these events, in their order, as one block with header and trailer."""
    texts = _TextFields({"": _NULL})
    received = received_at_us - _POSTGRES_EPOCH_US
    parts = [_HEADER]
    for event in events:
        event_id = event.event_id.encode()
        identifiers = _encode_json(event.identifiers) if event.identifiers else b""
        user_id = event.user_id.encode()
        metadata = event.metadata
        parts += (
            _FIXED(
                13,
                16,
                event.key,
                16,
                batch_id,
                8,
                event.fingerprint,
                8,
                event.occurred_at_us - _POSTGRES_EPOCH_US,
                8,
                received,
            ),
            _LENGTH(len(event_id)) + event_id,
            texts[event.type],
            texts[event.source],
            texts[event.campaign_id],
            texts[event.creative_id],
            _LENGTH(len(user_id)) + user_id if user_id else _NULL,
            _LENGTH(len(identifiers)) + identifiers if identifiers else _NULL,
            _LENGTH(len(metadata)) + metadata if metadata else _NULL,
        )
    parts.append(_TRAILER)
    return b"".join(parts)
