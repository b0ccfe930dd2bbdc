"""Writes events as rows of PostgreSQL's binary COPY format: no text is escaped here and none is parsed there.

*Source:* the PostgreSQL manual, COPY, section "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import msgspec

from dmp_chassis.binary import NULL, POSTGRES_EPOCH_US, SizedTexts, pack_length
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
_FIXED: Final = struct.Struct("!hi16si16siqiqiq").pack
_encode_json: Final = msgspec.json.Encoder().encode


def copy_block(events: Iterable[AcceptableEvent], *, batch_id: bytes, received_at_us: int) -> bytes:
    """The rows of these events, in their order, as one block with header and trailer."""
    # Without a call of `sized` for each field, which costs a twentieth.
    texts = SizedTexts()
    received = received_at_us - POSTGRES_EPOCH_US
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
                event.occurred_at_us - POSTGRES_EPOCH_US,
                8,
                received,
            ),
            pack_length(len(event_id)) + event_id,
            texts[event.type],
            texts[event.source],
            texts[event.campaign_id],
            texts[event.creative_id],
            pack_length(len(user_id)) + user_id if user_id else NULL,
            pack_length(len(identifiers)) + identifiers if identifiers else NULL,
            pack_length(len(metadata)) + metadata if metadata else NULL,
        )
    parts.append(_TRAILER)
    return b"".join(parts)
