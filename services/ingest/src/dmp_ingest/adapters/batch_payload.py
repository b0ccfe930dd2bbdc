"""Serializes a group of events as the request that hands it to identity and stats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dmp.identity.v1 import identity_service_pb2
from dmp.ingest.v1 import accepted_batch_pb2
from dmp_ingest.domain.event import AcceptableEvent

_TRACEPARENT: Final = b"\x7a\x37"
"""The number of the field and the 55 bytes of its value. A batch without it begins with the number of the batch."""
_AFTER_TRACEPARENT: Final = 57


class _Dictionary(dict[str, int]):
    """Texts and their positions, in order of first use. The empty text has position 0."""

    def __missing__(self, text: str) -> int:
        self[text] = position = len(self)
        return position


def batch_payload(
    events: Sequence[AcceptableEvent], *, batch_id: str, accepted_at_us: int, traceparent: str = ""
) -> bytes:
    """The serialized `ApplyBatchRequest`. The same bytes serve identity and stats: in both, the batch is field 1.

    traceparent: the span of the group, if it is traced. It stands before everything else, where `traceparent_of` finds
    it: whoever delivers the batch later, in whichever process, goes on with the trace.
    """
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
    payload = identity_service_pb2.ApplyBatchRequest(batch=batch).SerializeToString()
    if not traceparent:
        return payload
    # Fields may come in any order, and two messages in a row are one.
    return identity_service_pb2.ApplyBatchRequest(traceparent=traceparent).SerializeToString() + payload


def traceparent_of(payload: bytes) -> str:
    """What `batch_payload` was given; empty if there was none. The batch is not read."""
    return payload[2:_AFTER_TRACEPARENT].decode() if payload[:2] == _TRACEPARENT else ""
