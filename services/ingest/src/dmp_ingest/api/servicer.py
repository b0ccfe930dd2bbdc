"""The gRPC servicer: reads requests, calls the use cases, writes answers. It decides nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_chassis.content_coding import decoded_body
from dmp_chassis.errors import FieldViolation, InvalidArgument
from dmp_chassis.http_body import came_through_gateway, json_body, send_http_status
from dmp_ingest.adapters.erasures import Erasures
from dmp_ingest.adapters.event_log import EventLog
from dmp_ingest.adapters.owners import Owners
from dmp_ingest.adapters.people import People
from dmp_ingest.api.audits import Audits
from dmp_ingest.api.convert import (
    add_results,
    erasure_to_proto,
    event_from_proto,
    found_to_json,
    found_to_proto,
    preview_to_proto,
)
from dmp_ingest.api.json_answer import write_answer, write_refusal
from dmp_ingest.api.json_body import BodyReader
from dmp_ingest.audit_pages import OneAtATime
from dmp_ingest.check_health import check_health
from dmp_ingest.domain.errors import ErasureNotFoundError, TooLargeError, UserNotFoundError
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.erase_user import erase_user, find_erasure, preview_erasure
from dmp_ingest.find_event import find_event
from dmp_ingest.group_commit import GroupCommitter
from dmp_ingest.publish_events import Published, PublishEvents, publish_events

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Checks: TypeAlias = Mapping[str, Callable[[], Awaitable[None]]]

_MAX_ID_LENGTH = 255
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


class IngestServicer(ingest_service_pb2_grpc.IngestServiceServicer):
    """Implements `dmp.ingest.v1.IngestService`; the proto's comments are the contract of each method."""

    # ruff: noqa: N802  # the methods have the names of their RPCs

    def __init__(
        self,
        *,
        policy: EventPolicy,
        committer: GroupCommitter,
        log: EventLog,
        owners: Owners,
        erasures: Erasures,
        people: People,
        settled_seconds: float,
        audits: Audits,
        needed: Checks,
        helpful: Checks,
    ) -> None:
        self._policy = policy
        self._reader = BodyReader(policy)
        self._committer = committer
        self._log = log
        self._owners = owners
        self._erasures = erasures
        self._people = people
        self._settled_seconds = settled_seconds
        self._audits = audits
        self._auditing = OneAtATime()
        self._needed = needed
        self._helpful = helpful

    async def PublishEvents(self, request: pb.PublishEventsRequest, context: Context) -> pb.PublishEventsResponse:
        self._committer.refuse_if_full()
        published = await self._publish(request)
        response = pb.PublishEventsResponse(
            accepted=published.accepted,
            duplicates=published.duplicates,
            rejected=published.rejected,
            applied=published.applied,
        )
        add_results(response, published.outcomes, minimal=request.minimal_results)
        return response

    async def PublishEventStream(
        self, request_iterator: AsyncIterator[pb.PublishEventStreamRequest], context: Context
    ) -> AsyncIterator[pb.PublishEventStreamResponse]:
        async for request in request_iterator:
            await self._committer.wait_for_room()
            published = await self._publish(request)
            response = pb.PublishEventStreamResponse(
                accepted=published.accepted,
                duplicates=published.duplicates,
                rejected=published.rejected,
                applied=published.applied,
            )
            add_results(response, published.outcomes, minimal=False)
            yield response

    async def PublishEventsJson(
        self, request: pb.PublishEventsJsonRequest, context: Context
    ) -> pb.PublishEventsJsonResponse:
        self._committer.refuse_if_full()
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
                events=body.events, source=body.source, idempotency_key=str(headers.get("idempotency-key", ""))
            ),
            policy=self._policy,
            committer=self._committer,
        )
        if not published.accepted and not published.duplicates:
            await send_http_status(context, 422)
        answer = write_answer(published, single=body.single, minimal=_wants_minimal(str(headers.get("prefer", ""))))
        return pb.PublishEventsJsonResponse(body=json_body(answer))

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        if not 1 <= len(request.event_id) <= _MAX_ID_LENGTH:
            raise InvalidArgument([FieldViolation(field="event_id", description="must have 1 to 255 characters")])
        found = await find_event(request.event_id, log=self._log, owners=self._owners)
        if came_through_gateway(context):
            return pb.GetEventResponse(rendered=json_body(found_to_json(found, self._policy)))
        return found_to_proto(found, self._policy)

    async def AuditEvents(self, request: pb.AuditEventsRequest, context: Context) -> pb.AuditEventsResponse:
        with self._auditing:
            return await self._audits.audit(request)

    async def RepairCampaign(self, request: pb.RepairCampaignRequest, context: Context) -> pb.RepairCampaignResponse:
        with self._auditing:
            return await self._audits.repair(request)

    async def EraseUser(self, request: pb.EraseUserRequest, context: Context) -> pb.EraseUserResponse:
        if not 1 <= len(request.internal_user_id) <= _MAX_ID_LENGTH:
            raise UserNotFoundError(internal_user_id=request.internal_user_id[:_MAX_ID_LENGTH])
        if request.dry_run:
            erased = await preview_erasure(request.internal_user_id, people=self._people)
            return pb.EraseUserResponse(receipt=preview_to_proto(erased))
        erasure = await erase_user(
            request.internal_user_id,
            erasures=self._erasures,
            people=self._people,
            settled_seconds=self._settled_seconds,
        )
        return pb.EraseUserResponse(receipt=erasure_to_proto(erasure))

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context) -> pb.GetErasureResponse:
        if _UUID(request.erasure_id) is None:
            raise ErasureNotFoundError(erasure_id=request.erasure_id[:_MAX_ID_LENGTH])
        return pb.GetErasureResponse(
            receipt=erasure_to_proto(await find_erasure(request.erasure_id, erasures=self._erasures))
        )

    async def CheckHealth(self, request: pb.CheckHealthRequest, context: Context) -> pb.CheckHealthResponse:
        health = await check_health(needed=self._needed, helpful=self._helpful)
        return pb.CheckHealthResponse(ok=True, status="healthy", degraded=health.degraded)

    async def _publish(self, request: pb.PublishEventsRequest | pb.PublishEventStreamRequest) -> Published:
        if not request.events:
            raise InvalidArgument([FieldViolation(field="events", description="at least one event is required")])
        if len(request.events) > self._policy.max_events_per_request:
            raise TooLargeError(limit=self._policy.max_events_per_request, unit="events")
        return await publish_events(
            PublishEvents(
                events=[event_from_proto(event) for event in request.events],
                source=request.source or None,
                idempotency_key=request.idempotency_key,
            ),
            policy=self._policy,
            committer=self._committer,
        )


def _wants_minimal(prefer: str) -> bool:
    """Whether a Prefer header asks for `return=minimal`. *Source:* RFC 7240, sections 2 and 4.2."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return" and value.strip().strip('"').lower() == "minimal":
            return True
    return False
