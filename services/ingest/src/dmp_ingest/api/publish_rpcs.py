"""The calls that publish events: read the request, publish its events, write the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import grpc
import msgspec

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.budget import Share
from dmp_chassis.content_coding import decoded_body
from dmp_chassis.http_body import json_body, send_http_status
from dmp_chassis.metrics import Metrics
from dmp_ingest.api.convert import add_results
from dmp_ingest.api.json_answer import write_invalid_body, write_validation
from dmp_ingest.api.json_publishing import JsonPublishing, hold_answer
from dmp_ingest.api.publish_request import read_publish_request
from dmp_ingest.count_published import count_published
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.domain.request_stamp import RequestStamp, read_stamp
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.large_requests import LargeRequests, weight_of
from dmp_ingest.publish_events import Published, PublishEvents, publish_events
from dmp_ingest.validate_events import validate_events

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_STAMP: Final = "x-internal-stamp"
"""Metadata by which the gateway knows a request again that it asks of another replica. No caller can send it."""


class PublishRpcs:
    """Publishes or judges what one call sends. Each raises what the proto lists."""

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

    async def publish(self, data: bytes, context: Context) -> pb.PublishEventsResponse:
        """Publishes a serialized `PublishEventsRequest`."""
        self._gathering.refuse_if_full()
        with self._large.share() as share:
            share.hold(weight_of(events=0, size_bytes=len(data)))
            message, events = await read_publish_request(data, pb.PublishEventsRequest, self._policy)
            events = msgspec.structs.replace(events, stamp=_stamp(dict(context.invocation_metadata() or ())))
            share.hold(weight_of(events=len(events.events), size_bytes=len(data)))
            published = await self._publish(events)
            response = pb.PublishEventsResponse(
                accepted=published.accepted,
                duplicates=published.duplicates,
                rejected=published.rejected,
                applied=published.applied,
            )
            async with self._large.turn(len(published.outcomes)):
                await add_results(response, published.outcomes, minimal=message.minimal_results)
            _hold_until_taken(share, answer_bytes=response.ByteSize(), context=context)
            return response

    async def publish_json(
        self, request: pb.PublishEventsJsonRequest, context: Context
    ) -> pb.PublishEventsJsonResponse:
        """Publishes the body of `POST /events`; the HTTP status goes to the gateway as metadata."""
        self._gathering.refuse_if_full()
        metadata = context.invocation_metadata() or ()
        headers = dict(metadata)
        with self._large.share() as share:
            data = await decoded_body(request.body.data, metadata, limit=self._policy.max_body_bytes)
            answer = await self._json.publish(
                data,
                share,
                idempotency_key=str(headers.get("idempotency-key", "")),
                minimal="prefer" in headers and _wants_minimal(str(headers["prefer"])),
                stamp=_stamp(headers),
            )
            if answer.http_status != 202:
                await send_http_status(context, answer.http_status)
            _hold_until_taken(share, answer_bytes=len(answer.body), context=context)
            return pb.PublishEventsJsonResponse(body=json_body(answer.body))

    async def validate_json(
        self, request: pb.ValidateEventsJsonRequest, context: Context
    ) -> pb.ValidateEventsJsonResponse:
        """Judges the body of `POST /events:validate` as if it were published, and stores nothing."""
        data = request.body.data
        with self._large.share() as share:
            body = await self._json.read(data, share)
            if errors := body.errors:
                await send_http_status(context, 422)
                return pb.ValidateEventsJsonResponse(body=json_body(write_invalid_body(errors)))
            asked = PublishEvents(events=body.events, size_bytes=len(data), source=body.source)
            validated = await validate_events(asked, policy=self._policy, large=self._large)
            async with self._large.turn(len(validated.noted)):
                answer = await write_validation(validated)
            return pb.ValidateEventsJsonResponse(body=json_body(answer))

    async def _publish(self, request: PublishEvents) -> Published:
        published = await publish_events(request, policy=self._policy, large=self._large, gathering=self._gathering)
        count_published(request, published, "grpc", metrics=self._metrics)
        return published


def _hold_until_taken(share: Share, *, answer_bytes: int, context: Context) -> None:
    """Keeps what a large answer holds until it is taken: gRPC's library keeps the answer for so long."""
    hold_answer(share, answer_bytes)
    if share.held:
        until_taken = share.moved()
        context.add_done_callback(lambda _: until_taken.hold(0))  # type: ignore[arg-type]  # a class in the stubs


def _stamp(headers: Mapping[str, str | bytes]) -> RequestStamp | None:
    return read_stamp(str(headers.get(_STAMP, "")))


def _wants_minimal(prefer: str) -> bool:
    """Whether a Prefer header asks for `return=minimal`. *Source:* RFC 7240, sections 2 and 4.2."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return" and value.strip().strip('"').lower() == "minimal":
            return True
    return False
