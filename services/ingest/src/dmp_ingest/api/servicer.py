"""The gRPC servicer: reads requests, calls the use cases, writes answers. It decides nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_chassis.content_coding import decoded_body
from dmp_chassis.errors import FieldViolation, InvalidArgument
from dmp_chassis.http_body import came_through_gateway, json_body, send_http_status
from dmp_ingest.adapters.event_log import EventLog
from dmp_ingest.adapters.owners import Owners
from dmp_ingest.api.audits import Audits
from dmp_ingest.api.convert import (
    add_results,
    found_to_json,
    found_to_proto,
)
from dmp_ingest.api.convert_erasure import erasure_to_proto, preview_to_proto, whom_from_proto
from dmp_ingest.api.json_answer import write_answer, write_refusal
from dmp_ingest.api.json_body import BodyReader
from dmp_ingest.api.publish_request import read_publish_request
from dmp_ingest.audit_pages import OneAtATime
from dmp_ingest.check_health import check_health
from dmp_ingest.domain.errors import ErasureNotFoundError
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.erase_user import Stores, erase_user, find_erasure, preview_erasure
from dmp_ingest.find_event import find_event
from dmp_ingest.group_commit import GroupCommitter
from dmp_ingest.publish_events import PublishEvents, publish_events

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Checks: TypeAlias = Mapping[str, Callable[[], Awaitable[None]]]

SERVICE_NAME: Final = "dmp.ingest.v1.IngestService"

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
        stores: Stores,
        audits: Audits,
        needed: Checks,
        helpful: Checks,
    ) -> None:
        self._policy = policy
        self._reader = BodyReader(policy)
        self._committer = committer
        self._log = log
        self._owners = owners
        self._stores = stores
        self._audits = audits
        self._auditing = OneAtATime()
        self._needed = needed
        self._helpful = helpful

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all methods. Those that publish typed events read their requests themselves."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "PublishEvents": grpc.unary_unary_rpc_method_handler(
                self.PublishEvents, response_serializer=pb.PublishEventsResponse.SerializeToString
            ),
            "PublishEventStream": grpc.stream_stream_rpc_method_handler(
                self.PublishEventStream, response_serializer=pb.PublishEventStreamResponse.SerializeToString
            ),
        }
        # The first that knows a method answers it.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))
        ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(self, server)

    async def PublishEvents(
        self, request: bytes | pb.PublishEventsRequest, context: Context
    ) -> pb.PublishEventsResponse:
        self._committer.refuse_if_full()
        message, events = await read_publish_request(_bytes_of(request), pb.PublishEventsRequest, self._policy)
        published = await publish_events(events, policy=self._policy, committer=self._committer)
        response = pb.PublishEventsResponse(
            accepted=published.accepted,
            duplicates=published.duplicates,
            rejected=published.rejected,
            applied=published.applied,
        )
        add_results(response, published.outcomes, minimal=message.minimal_results)
        return response

    async def PublishEventStream(
        self, request_iterator: AsyncIterator[bytes | pb.PublishEventStreamRequest], context: Context
    ) -> AsyncIterator[pb.PublishEventStreamResponse]:
        async for request in request_iterator:
            await self._committer.wait_for_room()
            _, events = await read_publish_request(_bytes_of(request), pb.PublishEventStreamRequest, self._policy)
            published = await publish_events(events, policy=self._policy, committer=self._committer)
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
                events=body.events,
                size_bytes=len(data),
                source=body.source,
                idempotency_key=str(headers.get("idempotency-key", "")),
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
        whom = whom_from_proto(request)
        if request.dry_run:
            erased = await preview_erasure(whom, people=self._stores.people)
            return pb.EraseUserResponse(receipt=preview_to_proto(erased))
        erasure = await erase_user(whom, stores=self._stores)
        return pb.EraseUserResponse(receipt=erasure_to_proto(erasure))

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context) -> pb.GetErasureResponse:
        if _UUID(request.erasure_id) is None:
            raise ErasureNotFoundError(erasure_id=request.erasure_id[:_MAX_ID_LENGTH])
        return pb.GetErasureResponse(
            receipt=erasure_to_proto(await find_erasure(request.erasure_id, erasures=self._stores.erasures))
        )

    async def CheckHealth(self, request: pb.CheckHealthRequest, context: Context) -> pb.CheckHealthResponse:
        health = await check_health(needed=self._needed, helpful=self._helpful)
        return pb.CheckHealthResponse(ok=True, status="healthy", degraded=health.degraded)


def _bytes_of(request: bytes | pb.PublishEventsRequest | pb.PublishEventStreamRequest) -> bytes:
    """What was sent: the methods are registered without a parser."""
    return request if isinstance(request, bytes) else request.SerializeToString()


def _wants_minimal(prefer: str) -> bool:
    """Whether a Prefer header asks for `return=minimal`. *Source:* RFC 7240, sections 2 and 4.2."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return" and value.strip().strip('"').lower() == "minimal":
            return True
    return False
