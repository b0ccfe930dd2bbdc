"""The RPCs that publish events: read the request, publish its events, write the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.content_coding import decoded_body
from dmp_chassis.http_body import json_body, send_http_status
from dmp_ingest.api.convert import add_results
from dmp_ingest.api.json_answer import write_answer, write_invalid_body, write_refusal, write_validation
from dmp_ingest.api.json_body import BodyReader
from dmp_ingest.api.publish_request import read_publish_request
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.gather_groups import GroupGathering
from dmp_ingest.publish_events import PublishEvents, publish_events
from dmp_ingest.validate_events import validate_events

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class PublishRpcs:
    """Publishes what callers send, in three forms. Each raises what the proto lists."""

    def __init__(self, *, policy: EventPolicy, gathering: GroupGathering) -> None:
        self._policy = policy
        self._gathering = gathering
        self._reader = BodyReader(policy)

    async def publish(self, data: bytes) -> pb.PublishEventsResponse:
        """Publishes a serialized `PublishEventsRequest`."""
        self._gathering.refuse_if_full()
        message, events = await read_publish_request(data, pb.PublishEventsRequest, self._policy)
        published = await publish_events(events, policy=self._policy, gathering=self._gathering)
        response = pb.PublishEventsResponse(
            accepted=published.accepted,
            duplicates=published.duplicates,
            rejected=published.rejected,
            applied=published.applied,
        )
        add_results(response, published.outcomes, minimal=message.minimal_results)
        return response

    async def publish_stream(self, requests: AsyncIterator[bytes]) -> AsyncIterator[pb.PublishEventStreamResponse]:
        """Publishes serialized `PublishEventStreamRequest`s, one after another; waits while too many events wait."""
        async for data in requests:
            await self._gathering.wait_for_room()
            _, events = await read_publish_request(data, pb.PublishEventStreamRequest, self._policy)
            published = await publish_events(events, policy=self._policy, gathering=self._gathering)
            response = pb.PublishEventStreamResponse(
                accepted=published.accepted,
                duplicates=published.duplicates,
                rejected=published.rejected,
                applied=published.applied,
            )
            add_results(response, published.outcomes, minimal=False)
            yield response

    async def publish_json(
        self, request: pb.PublishEventsJsonRequest, context: Context
    ) -> pb.PublishEventsJsonResponse:
        """Publishes the body of `POST /events`; the HTTP status goes to the gateway as metadata."""
        self._gathering.refuse_if_full()
        data = await decoded_body(request.body.data, context, limit=self._policy.max_body_bytes)
        headers = {
            name: value for name, value in context.invocation_metadata() or () if name in ("idempotency-key", "prefer")
        }
        body = await self._reader.read(data)
        errors = body.errors
        if not body.events and not errors:
            errors = {"events": ["at least one event is required"]}
        if errors:
            await send_http_status(context, 422)
            return pb.PublishEventsJsonResponse(body=json_body(write_refusal(errors)))
        published = await publish_events(
            PublishEvents(
                events=body.events,
                size_bytes=len(data),
                source=body.source,
                idempotency_key=str(headers.get("idempotency-key", "")),
            ),
            policy=self._policy,
            gathering=self._gathering,
        )
        if not published.accepted and not published.duplicates:
            await send_http_status(context, 422)
        answer = write_answer(published, single=body.single, minimal=_wants_minimal(str(headers.get("prefer", ""))))
        return pb.PublishEventsJsonResponse(body=json_body(answer))

    async def validate_json(
        self, request: pb.ValidateEventsJsonRequest, context: Context
    ) -> pb.ValidateEventsJsonResponse:
        """Judges the body of `POST /events:validate` as if it were published, and stores nothing."""
        data = request.body.data
        body = await self._reader.read(data)
        errors = body.errors
        if not body.events and not errors:
            errors = {"events": ["at least one event is required"]}
        if errors:
            await send_http_status(context, 422)
            return pb.ValidateEventsJsonResponse(body=json_body(write_invalid_body(errors)))
        asked = PublishEvents(events=body.events, size_bytes=len(data), source=body.source)
        validated = await validate_events(asked, policy=self._policy)
        return pb.ValidateEventsJsonResponse(body=json_body(write_validation(validated)))


def _wants_minimal(prefer: str) -> bool:
    """Whether a Prefer header asks for `return=minimal`. *Source:* RFC 7240, sections 2 and 4.2."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return" and value.strip().strip('"').lower() == "minimal":
            return True
    return False
