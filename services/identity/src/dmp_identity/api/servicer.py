"""The gRPC face of identity: reads requests, calls one use case each, writes answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp.identity.v1 import identity_service_pb2_grpc, merge_pb2
from dmp_chassis.database import Database
from dmp_identity.api import convert, convert_history
from dmp_identity.apply_batch import apply_batch
from dmp_identity.domain.reading import PolicyReader
from dmp_identity.identify_contact import ContactIdentifier, read_contact_request
from dmp_identity.keep_apart import create_never_merge, list_merges, remove_never_merge
from dmp_identity.merge_profiles import merge_profiles
from dmp_identity.read_profile import match_identifier, read_profile
from dmp_identity.undo_merge import undo_merge

Context = grpc.aio.ServicerContext


class IdentityServicer(identity_service_pb2_grpc.IdentityServiceServicer):
    """Everything it needs is given; `clock_us` is the time in microseconds since 1970."""

    # ruff: noqa: N802  # the methods have the names of their RPCs

    def __init__(
        self,
        *,
        database: Database,
        reader: PolicyReader,
        identifier: ContactIdentifier,
        clock_us: Callable[[], int],
        wake: asyncio.Event,
    ) -> None:
        self._database = database
        self._reader = reader
        self._identifier = identifier
        self._clock_us = clock_us
        self._wake = wake

    async def ApplyBatch(self, request: pb.ApplyBatchRequest, context: Context[Any, Any]) -> pb.ApplyBatchResponse:
        """As the proto says."""
        batch = convert.batch_from_proto(request.batch, self._reader)
        applied = await apply_batch(self._database, self._reader, batch, clock_us=self._clock_us, wake=self._wake)
        return convert.applied_batch_to_proto(applied)

    async def GetProfile(self, request: pb.GetProfileRequest, context: Context[Any, Any]) -> pb.GetProfileResponse:
        """As the proto says."""
        view = await read_profile(
            self._database,
            self._reader.policy,
            request.internal_user_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return convert.profile_to_proto(self._reader.policy, view)

    async def MatchIdentifier(
        self, request: pb.MatchIdentifierRequest, context: Context[Any, Any]
    ) -> pb.MatchIdentifierResponse:
        """As the proto says."""
        view = await match_identifier(self._database, self._reader, request.identifier, request.value)
        return convert.match_to_proto(self._reader.policy, view, request.value)

    async def MergeProfiles(
        self, request: pb.MergeProfilesRequest, context: Context[Any, Any]
    ) -> pb.MergeProfilesResponse:
        """As the proto says."""
        merged = await merge_profiles(
            self._database,
            list(request.internal_user_ids),
            reason=request.reason,
            clock_us=self._clock_us,
            phone_key=self._reader.phone_key,
            wake=self._wake,
        )
        return convert.merged_to_proto(self._reader.policy, merged)

    async def Identify(self, request: pb.IdentifyRequest, context: Context[Any, Any]) -> pb.IdentifyResponse:
        """As the proto says."""
        values = {"email": request.email, "phoneNumber": request.phone_number}
        answer = await self._identifier.identify(read_contact_request(self._reader, values))
        return pb.IdentifyResponse(**convert.contact_fields(answer))

    async def IdentifyJson(
        self, request: pb.IdentifyJsonRequest, context: Context[Any, Any]
    ) -> pb.IdentifyJsonResponse:
        """As the proto says."""
        values = convert.contact_values_from_json(request.body.data)
        answer = await self._identifier.identify(read_contact_request(self._reader, values))
        return pb.IdentifyJsonResponse(**convert.contact_fields(answer))

    async def UndoMerge(
        self, request: merge_pb2.UndoMergeRequest, context: Context[Any, Any]
    ) -> merge_pb2.UndoMergeResponse:
        """As the proto says."""
        undone = await undo_merge(
            self._database, request.merge_id, reason=request.reason, clock_us=self._clock_us, wake=self._wake
        )
        return convert_history.undone_to_proto(undone)

    async def ListMerges(
        self, request: merge_pb2.ListMergesRequest, context: Context[Any, Any]
    ) -> merge_pb2.ListMergesResponse:
        """As the proto says."""
        return convert_history.history_to_proto(await list_merges(self._database, request.internal_user_id))

    async def CreateNeverMerge(
        self, request: merge_pb2.CreateNeverMergeRequest, context: Context[Any, Any]
    ) -> merge_pb2.CreateNeverMergeResponse:
        """As the proto says."""
        kept = await create_never_merge(
            self._database, list(request.internal_user_ids), reason=request.reason, clock_us=self._clock_us
        )
        return merge_pb2.CreateNeverMergeResponse(never_merge=convert_history.never_merge_to_proto(kept))

    async def RemoveNeverMerge(
        self, request: merge_pb2.RemoveNeverMergeRequest, context: Context[Any, Any]
    ) -> merge_pb2.RemoveNeverMergeResponse:
        """As the proto says."""
        removed = await remove_never_merge(
            self._database, request.never_merge_id, reason=request.reason, clock_us=self._clock_us
        )
        return merge_pb2.RemoveNeverMergeResponse(never_merge_id=request.never_merge_id, already_removed=not removed)
