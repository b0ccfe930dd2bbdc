"""The streams that publish events: one message after another, each answered in its place before the next is read.

A stream holds one message, which the gateway and the service bound to 1 MiB, and what is made of a large one is counted
among all large requests. Who does not read the answers keeps nothing but the last one here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.budget import Share
from dmp_chassis.content_coding import inflate
from dmp_chassis.errors import BodyDamaged, BodyTooLarge, find_spec, to_status
from dmp_chassis.metrics import Metrics
from dmp_ingest.api.convert import add_results
from dmp_ingest.api.errors import DOMAIN, ERRORS
from dmp_ingest.api.json_publishing import JsonPublishing, hold_answer
from dmp_ingest.api.publish_request import MOST_KEY_BYTES, MOST_STREAMED_BYTES, key_too_long, read_publish_request
from dmp_ingest.count_published import count_published
from dmp_ingest.domain.errors import CannotStoreError, MalformedBodyError, OverloadedError, TooLargeError
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.large_requests import LargeRequests, weight_of
from dmp_ingest.publish_events import publish_events

_ANSWERED: Final = (
    MalformedBodyError,
    TooLargeError,
    BodyTooLarge,
    BodyDamaged,
    OverloadedError,
    CannotStoreError,
)
"""What is wrong with one body, after which the next may be taken."""
_LONGEST_WAIT_SECONDS: Final = 5.0
_GZIP: Final = b"\x1f\x8b"
"""No JSON begins so."""
_INLINE_BYTES: Final = 4_096
"""Inflates to 4 MiB at most: a few milliseconds."""


class PublishStreams:
    """Publishes what callers stream, typed or as JSON. Each raises what the proto lists."""

    def __init__(
        self,
        *,
        policy: EventPolicy,
        large: LargeRequests,
        gathering: GroupGathering,
        json: JsonPublishing,
        metrics: Metrics,
    ) -> None:
        self._policy = policy
        self._large = large
        self._gathering = gathering
        self._json = json
        self._metrics = metrics
        self._inflating = asyncio.Lock()

    async def publish(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[pb.PublishEventStreamResponse]:
        """Publishes serialized `PublishEventStreamRequest`s; waits while too many events wait to be stored."""
        async for data in requests:
            await self._gathering.wait_for_room()
            with self._large.share() as share:
                response = await self._published(data, share)
                hold_answer(share, response.ByteSize())
                yield response

    async def publish_json(
        self, requests: AsyncIterator[pb.PublishEventStreamJsonRequest]
    ) -> AsyncGenerator[pb.PublishEventStreamJsonResponse]:
        """Publishes bodies of `POST /events`. A body that cannot be taken is answered in its place."""
        async for request in requests:
            if len(request.idempotency_key.encode()) > MOST_KEY_BYTES:
                raise key_too_long()
            with self._large.share() as share:
                response = await self._answered(request, share)
                hold_answer(share, len(response.body))
                yield response

    async def _published(self, data: bytes, share: Share) -> pb.PublishEventStreamResponse:
        share.hold(weight_of(events=0, size_bytes=len(data)))
        _, events = await read_publish_request(
            data, pb.PublishEventStreamRequest, self._policy, most_bytes=MOST_STREAMED_BYTES
        )
        share.hold(weight_of(events=len(events.events), size_bytes=len(data)))
        published = await publish_events(events, policy=self._policy, large=self._large, gathering=self._gathering)
        count_published(events, published, "grpc_stream", metrics=self._metrics)
        response = pb.PublishEventStreamResponse(
            accepted=published.accepted,
            duplicates=published.duplicates,
            rejected=published.rejected,
            applied=published.applied,
        )
        async with self._large.turn(len(published.outcomes)):
            await add_results(response, published.outcomes, minimal=False)
        return response

    async def _answered(
        self, request: pb.PublishEventStreamJsonRequest, share: Share
    ) -> pb.PublishEventStreamJsonResponse:
        try:
            await self._wait_for_room()
            data = await self._inflated(request.body, share)
            answer = await self._json.publish(
                data,
                share,
                idempotency_key=request.idempotency_key,
                minimal=request.minimal_results,
                transport="json_stream",
            )
        except _ANSWERED as error:
            spec = find_spec(error, ERRORS)
            http_status = 400 if spec is None or spec.http_status is None else spec.http_status
            return pb.PublishEventStreamJsonResponse(http_status=http_status, error=to_status(error, ERRORS, DOMAIN))
        return pb.PublishEventStreamJsonResponse(http_status=answer.http_status, body=answer.body)

    async def _wait_for_room(self) -> None:
        """A busy log slows the stream down for a while. Raises OverloadedError if it is still busy then, or stands."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                await self._gathering.wait_for_room()
        self._gathering.refuse_if_full()

    async def _inflated(self, body: bytes, share: Share) -> bytes:
        """The body without gzip. Large ones are inflated one at a time, so that each is counted before the next."""
        if len(body) > MOST_STREAMED_BYTES:
            raise TooLargeError(limit=MOST_STREAMED_BYTES, unit="bytes")
        share.hold(weight_of(events=0, size_bytes=len(body)))
        if not body.startswith(_GZIP):
            return body
        limit = self._policy.max_body_bytes
        async with self._inflating:
            data = (
                inflate(body, limit=limit)
                if len(body) <= _INLINE_BYTES
                else await asyncio.to_thread(inflate, body, limit=limit)
            )
            share.hold(weight_of(events=0, size_bytes=len(data)))
        return data
