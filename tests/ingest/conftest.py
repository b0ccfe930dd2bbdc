"""Fixtures for the ingest suites: a running ingest with recording consumers behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_ingest.app import SERVICE
from dmp_ingest.settings import read_settings
from tests.ingest.consumers import RecordingConsumers, recording_consumers


@dataclass(frozen=True, slots=True)
class Ingest:
    """A running ingest: its stub, its consumers, and where its data is."""

    stub: ingest_service_pb2_grpc.IngestServiceAsyncStub
    channel: grpc.aio.Channel
    consumers: RecordingConsumers
    database_url: str
    redis_url: str

    async def post(self, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        """`POST /events` as the gateway calls it: the HTTP status, 202 where the service says no other, and the answer.
        `body` is JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        call = self.stub.PublishEventsJson(
            pb.PublishEventsJsonRequest(body=httpbody_pb2.HttpBody(data=data)),
            metadata=[(name.replace("_", "-"), value) for name, value in headers.items()],
            timeout=20,
        )
        initial = {name: value for name, value in await call.initial_metadata()}  # noqa: C416  # not a mapping
        return int(initial.get("x-http-status", "202")), json.loads((await call).body.data)


@asynccontextmanager
async def running_ingest(database_url: str, redis_url: str) -> AsyncIterator[Ingest]:
    """An ingest of this database and this Redis, with recording consumers."""
    async with recording_consumers() as consumers:
        settings = read_settings(
            {
                "DMP_INGEST_DATABASE_URL": database_url,
                "DMP_REDIS_URL": redis_url,
                "DMP_PLAIN_STORES": "1",
                "DMP_INGEST_LISTEN": "127.0.0.1:0",
                "DMP_IDENTITY_ADDRESS": consumers.identity_address,
                "DMP_STATS_ADDRESS": consumers.stats_address,
            }
        )
        async with (
            await SERVICE.start(settings) as server,
            grpc.aio.insecure_channel(server.address, options=[("grpc.max_receive_message_length", -1)]) as channel,
        ):
            stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
            yield Ingest(stub, channel, consumers, database_url, redis_url)


@pytest.fixture
async def ingest(ingest_database_url: str, redis_url: str) -> AsyncIterator[Ingest]:
    """An ingest of its own database, an empty Redis and recording consumers."""
    async with running_ingest(ingest_database_url, redis_url) as running:
        yield running


def campaign_event(event_id: str, **fields: object) -> dict[str, object]:
    """A valid campaign event."""
    return {
        "event_id": event_id,
        "type": "click",
        "campaign_id": "camp_1",
        "source": "web",
        "occurred_at": datetime.now(UTC).isoformat(),
        **fields,
    }
