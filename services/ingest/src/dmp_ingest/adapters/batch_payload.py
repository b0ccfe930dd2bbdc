"""Serializes a group of events as the request that hands it to identity and stats."""

from __future__ import annotations

from collections.abc import Sequence

from dmp.identity.v1 import identity_service_pb2
from dmp.ingest.v1 import accepted_batch_pb2
from dmp_ingest.domain.event import AcceptableEvent


class _Dictionary(dict[str, int]):
    """Texts and their positions, in order of first use. The empty text has position 0."""

    def __missing__(self, text: str) -> int:
        self[text] = position = len(self)
        return position


def batch_payload(events: Sequence[AcceptableEvent], *, batch_id: str, accepted_at_us: int) -> bytes:
    """The serialized `ApplyBatchRequest`. The same bytes serve identity and stats: in both, the batch is field 1."""
    texts = _Dictionary({"": 0})
    identifiers = [
        (position, texts[kind], texts[value])
        for position, event in enumerate(events)
        for kind, value in event.identifiers
    ]
    batch = accepted_batch_pb2.AcceptedBatch(
        batch_id=batch_id,
        accepted_at_us=accepted_at_us,
        event_ids=[event.event_id for event in events],
        event_keys=b"".join([event.key for event in events]),
        occurred_at_us=[event.occurred_at_us for event in events],
        types=[texts[event.type] for event in events],
        sources=[texts[event.source] for event in events],
        campaigns=[texts[event.campaign_id] for event in events],
        creatives=[texts[event.creative_id] for event in events],
        users=[texts[event.person] for event in events],
        counts_as=[event.counts_as for event in events],
        identifier_events=[position for position, _, _ in identifiers],
        identifier_types=[kind for _, kind, _ in identifiers],
        identifier_values=[value for _, _, value in identifiers],
        texts=list(texts),
    )
    return identity_service_pb2.ApplyBatchRequest(batch=batch).SerializeToString()
