"""A batch: what one committed group hands over to identity and stats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The new events of one group, ready to be handed over."""

    batch_id: str
    """A UUIDv7 as text."""
    payload: bytes
    """The request that hands the batch over, serialized once for both consumers."""
    size: int
    """How many events it has."""
