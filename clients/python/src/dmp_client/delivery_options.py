"""How events are sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How events are sent.

    max_events, max_bytes: of one request, before compression.
    linger_seconds: how long the first event of a request waits for more.
    max_age_seconds: events that waited longer without an answer are dropped, with the verdict `expired`.
    """

    max_events: int = 500
    max_bytes: int = 2 << 20
    linger_seconds: float = 0.2
    max_age_seconds: float = 7 * 86_400.0
