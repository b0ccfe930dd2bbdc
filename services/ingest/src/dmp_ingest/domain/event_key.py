"""Decides when two event ids are one: the 16-byte key of an id. Also the fingerprint of an event's content.

A UUID in its canonical lower-case spelling is its own key, so that UUIDs ordered by time stay in order in the unique
index. Any other id is hashed with BLAKE2b to 128 bits. The probability that two of 10^12 ids get one key is below
10^-14 (birthday bound).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from hashlib import blake2b

import xxhash

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CANONICAL_UUID = re.compile(_UUID).fullmatch
_CANONICAL_UUIDS = re.compile(f"(?:{_UUID},)*").fullmatch
_NON_NEGATIVE = 0x7FFF_FFFF_FFFF_FFFF


def event_key(event_id: str) -> bytes:
    """The 16 bytes that stand for this id, for ever. Ids that differ only in the case of a letter are different ids."""
    if len(event_id) == 36 and _CANONICAL_UUID(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def event_keys(event_ids: Sequence[str]) -> list[bytes]:
    """The key of each id, in order. If all are canonical UUIDs it costs a quarter of calling `event_key` for each."""
    joined = ",".join(event_ids) + ","
    if len(joined) == 37 * len(event_ids) and _CANONICAL_UUIDS(joined):
        raw = bytes.fromhex(joined.replace("-", "").replace(",", ""))
        return [raw[start : start + 16] for start in range(0, len(raw), 16)]
    return [event_key(event_id) for event_id in event_ids]


def fingerprint(content: bytes) -> int:
    """A 63-bit digest of an event's content. Equal content has the same fingerprint in every process and version.

    It tells a repeated event from a changed one. Events with different fingerprints are compared in full, so it need
    not withstand an attacker; XXH3 costs a fifth of a cryptographic hash.
    """
    return xxhash.xxh3_64_intdigest(content) & _NON_NEGATIVE


def derived_event_id(idempotency_key: str, index: int) -> str:
    """The id of an event that was sent without one: a UUIDv5 of the request's idempotency key and the event's position.

    So the same request, sent again, gives its events the same ids.
    """
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "dmp:idempotency-key")
    return str(uuid.uuid5(namespace, f"{index}:{idempotency_key}"))
