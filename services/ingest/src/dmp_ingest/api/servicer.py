"""The gRPC servicer of ingest: one line for each RPC, which says whose work it is. It decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_chassis.actions import asked_by
from dmp_ingest.api.action_rpcs import ActionRpcs
from dmp_ingest.api.audit_rpcs import AuditRpcs
from dmp_ingest.api.erasure_rpcs import ErasureRpcs
from dmp_ingest.api.event_rpcs import EventRpcs
from dmp_ingest.api.publish_rpcs import PublishRpcs
from dmp_ingest.api.publish_streams import PublishStreams
from dmp_ingest.check_health import check_health

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Checks: TypeAlias = Mapping[str, Callable[[], Awaitable[None]]]

SERVICE_NAME: Final = "dmp.ingest.v1.IngestService"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemChecks:
    """What `CheckHealth` asks. Each check returns if its part answers and else raises."""

    needed: Checks
    """Without one of these the system cannot do its work."""
    helpful: Checks
    """Without one of these it can, less well."""


class IngestServicer(ingest_service_pb2_grpc.IngestServiceServicer):
    """Implements `dmp.ingest.v1.IngestService`; the proto's comments are the contract of each method."""

    # ruff: noqa: N802  # the methods have the names of their RPCs

    def __init__(
        self,
        *,
        publishing: PublishRpcs,
        streams: PublishStreams,
        events: EventRpcs,
        audits: AuditRpcs,
        erasures: ErasureRpcs,
        actions: ActionRpcs,
        checks: SystemChecks,
    ) -> None:
        self._publishing = publishing
        self._streams = streams
        self._events = events
        self._audits = audits
        self._erasures = erasures
        self._actions = actions
        self._checks = checks

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all methods. Those that publish typed events read their requests themselves, from bytes."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "PublishEvents": grpc.unary_unary_rpc_method_handler(
                self.PublishEvents, response_serializer=pb.PublishEventsResponse.SerializeToString
            ),
            "PublishEventStream": grpc.stream_stream_rpc_method_handler(
                self.PublishEventStream, response_serializer=pb.PublishEventStreamResponse.SerializeToString
            ),
        }
        # The first registration that knows a method answers it.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))
        ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(self, server)

    async def PublishEvents(  # type: ignore[override]  # it is registered without a parser of requests
        self, request: bytes, context: Context
    ) -> pb.PublishEventsResponse:
        return await self._publishing.publish(request, context)

    async def PublishEventStream(  # type: ignore[override]  # it is registered without a parser of requests
        self, request_iterator: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[pb.PublishEventStreamResponse]:
        async with aclosing(self._streams.publish(request_iterator)) as responses:
            async for response in responses:
                yield response

    async def PublishEventStreamJson(
        self, request_iterator: AsyncIterator[pb.PublishEventStreamJsonRequest], context: Context
    ) -> AsyncIterator[pb.PublishEventStreamJsonResponse]:
        async with aclosing(self._streams.publish_json(request_iterator)) as responses:
            async for response in responses:
                yield response

    async def PublishEventsJson(
        self, request: pb.PublishEventsJsonRequest, context: Context
    ) -> pb.PublishEventsJsonResponse:
        return await self._publishing.publish_json(request, context)

    async def ValidateEventsJson(
        self, request: pb.ValidateEventsJsonRequest, context: Context
    ) -> pb.ValidateEventsJsonResponse:
        return await self._publishing.validate_json(request, context)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        return await self._events.get(request, context)

    async def AuditEvents(self, request: pb.AuditEventsRequest, context: Context) -> pb.AuditEventsResponse:
        return await self._audits.audit(request)

    async def RepairCampaign(self, request: pb.RepairCampaignRequest, context: Context) -> pb.RepairCampaignResponse:
        return await self._audits.repair(request, asked_by(context))

    async def EraseUser(self, request: pb.EraseUserRequest, context: Context) -> pb.EraseUserResponse:
        return await self._erasures.erase(request, asked_by(context))

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context) -> pb.GetErasureResponse:
        return await self._erasures.get(request)

    async def ListActions(self, request: pb.ListActionsRequest, context: Context) -> pb.ListActionsResponse:
        return await self._actions.list(request)

    async def CheckHealth(self, request: pb.CheckHealthRequest, context: Context) -> pb.CheckHealthResponse:
        health = await check_health(needed=self._checks.needed, helpful=self._checks.helpful)
        return pb.CheckHealthResponse(ok=True, status="healthy", degraded=health.degraded)
