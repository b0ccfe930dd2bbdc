"""What a domain event is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dmp_chassis.uuid7 import uuid7_text


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """A fact that has happened.

    id: UUID version 7, by which a reader drops what it gets twice. kind: its name in the past tense (`ProfilesMerged`).
    occurred_at: aware, UTC. payload: JSON object.
    """

    kind: str
    payload: dict[str, Any]
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: str = field(default_factory=uuid7_text)
