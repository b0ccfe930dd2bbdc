"""Publishes a JSON body and writes the answer: the same for `POST /events` and for each body of a stream."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from dmp_chassis.budget import Share
from dmp_chassis.metrics import Metrics
from dmp_ingest.api.json_answer import write_answer, write_refusal
from dmp_ingest.api.json_body import BRACES_OF_AN_EVENT, BodyReader, EventsBody
from dmp_ingest.count_published import count_published
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.request_stamp import RequestStamp
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.large_requests import LargeRequests, weight_of
from dmp_ingest.publish_events import PublishEvents, publish_events


class JsonAnswer(NamedTuple):
    """The answer to one body."""

    http_status: int
    """202 or 422."""
    body: bytes
    """JSON, as the public contract has it."""


class JsonPublishing:
    """Reads bodies, publishes their events and answers."""

    def __init__(
        self, *, policy: EventPolicy, large: LargeRequests, gathering: GroupGathering, metrics: Metrics
    ) -> None:
        self._policy = policy
        self._large = large
        self._gathering = gathering
        self._reader = BodyReader(policy)
        self._metrics = metrics

    async def read(self, data: bytes, share: Share) -> EventsBody:
        """The events of a body, or what is wrong with it: it has at least one event then, or errors.

        Raises MalformedBodyError, TooLargeError, OverloadedError.
        """
        # Before it is read: a full house costs nothing but a look at the bytes.
        share.hold(weight_of(events=data.count(b"{") // BRACES_OF_AN_EVENT, size_bytes=len(data)))
        body = await self._reader.read(data)
        share.hold(weight_of(events=len(body.events), size_bytes=len(data)))
        if not body.events and not body.errors:
            return msgspec.structs.replace(body, errors={"events": ["at least one event is required"]})
        return body

    async def publish(
        self,
        data: bytes,
        share: Share,
        *,
        idempotency_key: str,
        minimal: bool,
        stamp: RequestStamp | None = None,
        transport: str = "json",
    ) -> JsonAnswer:
        """Publishes a body that was inflated. Raises what `read` does, and CannotStoreError."""
        body = await self.read(data, share)
        if errors := body.errors:
            return JsonAnswer(422, write_refusal(errors))
        request = PublishEvents(
            events=body.events,
            size_bytes=len(data),
            source=body.source,
            idempotency_key=idempotency_key,
            stamp=stamp,
        )
        published = await publish_events(request, policy=self._policy, large=self._large, gathering=self._gathering)
        count_published(request, published, transport, metrics=self._metrics)
        async with self._large.turn(len(published.outcomes)):
            answer = await write_answer(published, single=body.single, minimal=minimal)
        return JsonAnswer(202 if published.accepted or published.duplicates else 422, answer)


def hold_answer(share: Share, answer_bytes: int) -> None:
    """From now on a request holds only its answer, and nothing if that is small."""
    # Never more than before, which could be refused: the events are stored, and their caller gets the answer.
    share.hold(min(share.held, weight_of(events=0, size_bytes=answer_bytes)))
