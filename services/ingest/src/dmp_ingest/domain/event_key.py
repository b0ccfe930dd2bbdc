"""The 16-byte key under which the log knows an event id, and the fingerprint of an event's content.

A UUID in its canonical lower-case spelling is its own key, so that time-ordered UUIDs stay in order in the unique
index. Any other id
is hashed with BLAKE2b to 128 bits; by the birthday bound two of 10^12 ids collide with a probability below 10^-14.
"""

from __future__ import annotations

import re
import uuid
from hashlib import blake2b

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def event_key(event_id: str) -> bytes:
    """The 16 bytes that stand for this id, the same for ever. Ids that differ in one letter's case are different
    ids."""
    if len(event_id) == 36 and _CANONICAL_UUID(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return blake2b(event_id.encode(), digest_size=16).digest()


def fingerprint(content: bytes) -> int:
    """A signed 64-bit digest of an event's content: equal content has equal fingerprints in every process and
    version."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def derived_event_id(idempotency_key: str, index: int) -> str:
    """The id of an event that was sent without one, from the request's key and the event's position: UUIDv5, so the
    same each time."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "dmp:idempotency-key")
    return str(uuid.uuid5(namespace, f"{index}:{idempotency_key}"))
