"""A batch: what one committed group hands over to identity and stats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """batch_id: UUIDv7 in text form. payload: the request that hands it over, serialized once for both consumers.
    size: events in it."""

    batch_id: str
    payload: bytes
    size: int
