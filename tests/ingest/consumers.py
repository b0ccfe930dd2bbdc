"""Two real gRPC servers in the place of identity and stats that keep what they are given and can be told to refuse or
to hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from dmp.identity.v1 import identity_service_pb2 as identity_pb
from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2 as stats_pb

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Recorded:
    """What a consumer has been given, in order, and how it behaves."""

    batches: list[accepted_batch_pb2.AcceptedBatch] = field(default_factory=list)
    refusing: bool = False
    """Answers UNAVAILABLE."""
    hanging: bool = False
    """Does not answer."""
    held: asyncio.Event | None = None
    """Answers when this is set."""
    broken_batches: set[str] = field(default_factory=set)
    """Ids of batches that it answers with INTERNAL."""
    calls: int = 0
    """How often it was called."""
    under_way: int = 0
    """Calls that it has not answered."""
    most_under_way: int = 0

    async def take(self, batch: accepted_batch_pb2.AcceptedBatch, context: Context) -> bool:
        """Keeps the batch unless told otherwise; whether it had been kept before."""
        self.calls += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._take(batch, context)
        finally:
            self.under_way -= 1

    async def _take(self, batch: accepted_batch_pb2.AcceptedBatch, context: Context) -> bool:
        if self.hanging:
            await asyncio.Event().wait()
        if self.held is not None:
            await self.held.wait()
        if batch.batch_id in self.broken_batches:
            await context.abort(grpc.StatusCode.INTERNAL, "told to fail")
        if self.refusing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "told to refuse")
        known = any(batch.batch_id == kept.batch_id for kept in self.batches)
        if not known:
            self.batches.append(batch)
        return known

    @property
    def event_ids(self) -> list[str]:
        """The ids of all events, in order."""
        return [event_id for batch in self.batches for event_id in batch.event_ids]


async def _apply_to_identity(
    recorded: Recorded, request: identity_pb.ApplyBatchRequest, context: Context
) -> identity_pb.ApplyBatchResponse:
    if await recorded.take(request.batch, context):
        return identity_pb.ApplyBatchResponse(already_applied=True)
    named = set(request.batch.identifier_events)
    positions = [1 if position in named else 0 for position in range(len(request.batch.event_ids))]
    return identity_pb.ApplyBatchResponse(internal_user_ids=["", "user_1"], event_profiles=positions)


async def _apply_to_stats(
    recorded: Recorded, request: stats_pb.ApplyBatchRequest, context: Context
) -> stats_pb.ApplyBatchResponse:
    return stats_pb.ApplyBatchResponse(already_applied=await recorded.take(request.batch, context))


@dataclass(frozen=True, slots=True)
class RecordingConsumers:
    """Both consumers and where they listen."""

    identity: Recorded
    stats: Recorded
    identity_address: str
    stats_address: str


@asynccontextmanager
async def recording_consumers() -> AsyncIterator[RecordingConsumers]:
    """Starts both on free ports of the loopback interface."""
    identity, stats = Recorded(), Recorded()
    servers, addresses = [], []
    for service, apply, recorded, request in (
        ("dmp.identity.v1.IdentityService", _apply_to_identity, identity, identity_pb.ApplyBatchRequest),
        ("dmp.stats.v1.StatsService", _apply_to_stats, stats, stats_pb.ApplyBatchRequest),
    ):
        server = grpc.aio.server()
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            partial(apply, recorded),
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"ApplyBatch": handler}),))
        servicer = health.aio.HealthServicer()
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        servers.append(server)
    try:
        yield RecordingConsumers(identity, stats, *addresses)
    finally:
        for server in servers:
            await server.stop(None)
