"""Two real gRPC servers in the place of identity and stats that keep what they are given and can be told to refuse or to hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from dmp.identity.v1 import identity_service_pb2 as identity_pb
from dmp.identity.v1 import identity_service_pb2_grpc as identity_grpc
from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2 as stats_pb
from dmp.stats.v1 import stats_service_pb2_grpc as stats_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


@dataclass(slots=True)
class Recorded:
    """What a consumer has been given, in order, and how it behaves. `refusing`: answers UNAVAILABLE. `hanging`: does not answer."""

    batches: list[accepted_batch_pb2.AcceptedBatch] = field(default_factory=list)
    refusing: bool = False
    hanging: bool = False

    async def take(self, batch: accepted_batch_pb2.AcceptedBatch, context: Any) -> bool:
        """Keeps the batch unless told otherwise; whether it had been kept before."""
        if self.hanging:
            await asyncio.Event().wait()
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


class _Identity(identity_grpc.IdentityServiceServicer):
    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    async def ApplyBatch(self, request: identity_pb.ApplyBatchRequest, context: Any) -> identity_pb.ApplyBatchResponse:
        if await self._recorded.take(request.batch, context):
            return identity_pb.ApplyBatchResponse(already_applied=True)
        named = set(request.batch.identifier_events)
        positions = [1 if position in named else 0 for position in range(len(request.batch.event_ids))]
        return identity_pb.ApplyBatchResponse(internal_user_ids=["", "user_1"], event_profiles=positions)


class _Stats(stats_grpc.StatsServiceServicer):
    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    async def ApplyBatch(self, request: stats_pb.ApplyBatchRequest, context: Any) -> stats_pb.ApplyBatchResponse:
        return stats_pb.ApplyBatchResponse(already_applied=await self._recorded.take(request.batch, context))


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
    for add in (
        lambda server: identity_grpc.add_IdentityServiceServicer_to_server(_Identity(identity), server),
        lambda server: stats_grpc.add_StatsServiceServicer_to_server(_Stats(stats), server),
    ):
        server = grpc.aio.server()
        add(server)
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
