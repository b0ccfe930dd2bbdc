"""A batch of events, and several of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmp_identity.domain.parsed_identifier import ParsedIdentifier


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """A batch as ingest published it, in columns: one entry for each event.

    batch_id: the batch's id.
    accepted_at_us: when ingest accepted it, in microseconds since 1970.
    event_ids, occurred_at_us, types, sources: of each event.
    identifiers: of each event.
    """

    batch_id: str
    accepted_at_us: int
    event_ids: Sequence[str]
    occurred_at_us: Sequence[int]
    types: Sequence[str]
    sources: Sequence[str]
    identifiers: Sequence[list[ParsedIdentifier]]


def joined(batches: Sequence[EventBatch]) -> EventBatch:
    """The batches as one, with the id of the first, and accepted when that was."""
    if len(batches) == 1:
        return batches[0]
    return replace(
        batches[0],
        event_ids=[event_id for batch in batches for event_id in batch.event_ids],
        occurred_at_us=[at_us for batch in batches for at_us in batch.occurred_at_us],
        types=[kind for batch in batches for kind in batch.types],
        sources=[source for batch in batches for source in batch.sources],
        identifiers=[identifiers for batch in batches for identifiers in batch.identifiers],
    )


def accepted_at_us(batches: Sequence[EventBatch]) -> list[int]:
    """When each event of the joined batches was accepted."""
    return [at_us for batch in batches for at_us in [batch.accepted_at_us] * len(batch.event_ids)]
