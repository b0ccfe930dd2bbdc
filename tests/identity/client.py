"""A client of a running identity service, in the words of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
from google.api import httpbody_pb2

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp.identity.v1 import identity_service_pb2_grpc, merge_pb2
from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.client import channel
from dmp_chassis.server import start_server
from dmp_chassis.service import Parts
from dmp_chassis.service_settings import CommonSettings
from dmp_identity.api.servicer import IdentityServicer
from dmp_identity.app import SERVICE, assemble
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.settings import Settings
from tests.identity.batches import Event, batch


class Identity:
    """Calls a service and reads its database."""

    def __init__(
        self,
        stub: identity_service_pb2_grpc.IdentityServiceAsyncStub,
        parts: Parts,
        database_url: str,
        address: str,
    ) -> None:
        self.stub = stub
        self.address = address
        self.parts = parts
        self.database_url = database_url

    @property
    def servicer(self) -> IdentityServicer:
        """What answers the calls."""
        assert isinstance(self.parts.servicer, IdentityServicer)
        return self.parts.servicer

    async def apply(self, *events: Event, batch_id: str = "", accepted_at_us: int = 0) -> list[str]:
        """Applies the events as one batch; for each event the id of its person, empty if it has none."""
        return people(await self.apply_batch(batch(events, batch_id=batch_id, accepted_at_us=accepted_at_us)))

    async def apply_batch(self, message: accepted_batch_pb2.AcceptedBatch) -> pb.ApplyBatchResponse:
        """Applies a batch."""
        return await self.stub.ApplyBatch(pb.ApplyBatchRequest(batch=message), timeout=60)

    async def profile(
        self, internal_user_id: str, *, page_size: int = 0, page_token: str = "", matches_token: str = ""
    ) -> pb.GetProfileResponse:
        """A person by id."""
        return await self.stub.GetProfile(
            pb.GetProfileRequest(
                internal_user_id=internal_user_id,
                page_size=page_size,
                page_token=page_token,
                matches_token=matches_token,
            ),
            timeout=30,
        )

    async def match(self, identifier: str, value: str) -> pb.MatchIdentifierResponse:
        """A person by identifier."""
        return await self.stub.MatchIdentifier(
            pb.MatchIdentifierRequest(identifier=identifier, value=value), timeout=30
        )

    async def merge(self, *ids: str, reason: str = "") -> pb.MergeProfilesResponse:
        """Merges by hand."""
        return await self.stub.MergeProfiles(pb.MergeProfilesRequest(internal_user_ids=ids, reason=reason), timeout=30)

    async def undo(self, merge_id: str) -> merge_pb2.UndoMergeResponse:
        """Takes a merge back."""
        return await self.stub.UndoMerge(merge_pb2.UndoMergeRequest(merge_id=merge_id, reason="a trial"), timeout=30)

    async def identify(self, email: str = "", phone: str = "") -> pb.IdentifyResponse:
        """The typed form of /identify."""
        return await self.stub.Identify(pb.IdentifyRequest(email=email, phone_number=phone), timeout=60)

    async def identify_json(self, body: bytes) -> pb.IdentifyJsonResponse:
        """The JSON form of /identify."""
        return await self.stub.IdentifyJson(
            pb.IdentifyJsonRequest(body=httpbody_pb2.HttpBody(content_type="application/json", data=body)), timeout=30
        )

    async def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement, over a connection of its own; committed."""
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            cursor = await connection.execute(statement.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []


def shown(
    message: pb.GetProfileResponse | pb.MatchIdentifierResponse | pb.MergeProfilesResponse, name: str
) -> list[str]:
    """A list of identifiers in an answer."""
    return [value.string_value for value in message.identifiers.fields[name].list_value.values]


def people(answer: pb.ApplyBatchResponse) -> list[str]:
    """The person of each event."""
    return [answer.internal_user_ids[position] for position in answer.event_profiles]


def settings(database_url: str, redis_url: str, policy: IdentifierPolicy) -> Settings:
    """Settings for a service in a test."""
    return Settings(
        common=CommonSettings(
            database_url=database_url,
            redis_url=redis_url,
            listen="127.0.0.1:0",
            log_level="info",
            drain_seconds=0.0,
            action_retention_days=0,
        ),
        policy=policy,
        pool_size=8,
        identify_queue_length=2000,
        inbox_retention_days=30,
        trial_memory_bytes=1 << 30,
        trial_seconds=30.0,
    )


@asynccontextmanager
async def running(
    database_url: str,
    redis_url: str,
    policy: IdentifierPolicy,
    **other: Any,  # noqa: ANN401  # settings of every type
) -> AsyncIterator[Identity]:
    """A service on a free port, and its client. other: settings that differ from those of other tests."""
    parts = assemble(replace(settings(database_url, redis_url, policy), **other))
    async with await start_server(SERVICE.api, parts) as server, channel(server.address) as connection:
        yield Identity(identity_service_pb2_grpc.IdentityServiceStub(connection), parts, database_url, server.address)
