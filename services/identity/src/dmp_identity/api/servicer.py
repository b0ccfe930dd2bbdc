"""The gRPC face of identity: reads requests, calls one use case each, writes answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import grpc

from dmp.identity.v1 import (
    audit_pb2,
    erasure_pb2,
    explanation_pb2,
    identity_service_pb2_grpc,
    merge_pb2,
    separation_pb2,
)
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_chassis.actions import Asked, answer_actions, asked_by
from dmp_chassis.database import Database
from dmp_chassis.metrics import Metrics
from dmp_identity.api import (
    convert,
    convert_erasure,
    convert_explanation,
    convert_history,
    convert_separation,
    convert_trial,
)
from dmp_identity.count_entries import count_entries
from dmp_identity.detach_identifier import attach_identifier, detach_identifier
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.profile_id import public_id
from dmp_identity.erase_person import (
    confirm_erasure,
    erase_person,
    forget_erased_events,
    list_erased_events,
    match_erased,
    preview_erasure,
)
from dmp_identity.explain_link import explain_link, read_graph
from dmp_identity.export_profile import export_profile
from dmp_identity.identify_contact import ContactIdentifier, read_contact_request
from dmp_identity.join_batches import BatchJoiner
from dmp_identity.keep_apart import create_never_merge, list_merges, remove_never_merge
from dmp_identity.know_key_rules import KnownKeyRules
from dmp_identity.list_refusals import list_refusals
from dmp_identity.merge_profiles import MergedProfiles, merge_profiles
from dmp_identity.metrics import MERGES, UNDOS
from dmp_identity.read_profile import match_identifier, read_profile
from dmp_identity.trial_run import PolicyTrials
from dmp_identity.undo_merge import undo_merge
from dmp_identity.undo_shared_value import list_shared_values, undo_shared_value

Context = grpc.aio.ServicerContext
SERVICE_NAME: Final = "dmp.identity.v1.IdentityService"


class IdentityServicer(identity_service_pb2_grpc.IdentityServiceServicer):
    """Everything it needs is given; `clock_us` is the time in microseconds since 1970.

    Batches go over `batches`.
    """

    # ruff: noqa: N802  # the methods have the names of their RPCs

    def __init__(
        self,
        *,
        database: Database,
        parser: IdentifierParser,
        key_rules: KnownKeyRules,
        cache: GraphCache,
        identifier: ContactIdentifier,
        trials: PolicyTrials,
        clock_us: Callable[[], int],
        wake: asyncio.Event,
        batches: BatchJoiner,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._parser = parser
        self._key_rules = key_rules
        self.cache = cache
        self.identifier = identifier
        self._trials = trials
        self._clock_us = clock_us
        self._wake = wake
        self._batches = batches
        self._metrics = metrics

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all methods."""
        identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(self, server)

    @property
    def parser(self) -> IdentifierParser:
        """How it reads identifiers."""
        return self._parser

    async def ApplyBatch(self, request: pb.ApplyBatchRequest, context: Context[Any, Any]) -> pb.ApplyBatchResponse:
        """As the proto says."""
        await self._key_rules.ready()
        batch = convert.batch_from_proto(request.batch, self._parser)
        applied = await self._batches.apply(batch)
        return convert.applied_batch_to_proto(applied)

    async def GetProfile(self, request: pb.GetProfileRequest, context: Context[Any, Any]) -> pb.GetProfileResponse:
        """As the proto says."""
        view = await read_profile(
            self._database,
            self._parser.policy,
            request.internal_user_id,
            page_size=request.page_size,
            page_token=request.page_token,
            matches_token=request.matches_token,
        )
        return convert.profile_to_proto(self._parser.policy, view)

    async def MatchIdentifier(
        self, request: pb.MatchIdentifierRequest, context: Context[Any, Any]
    ) -> pb.MatchIdentifierResponse:
        """As the proto says."""
        await self._key_rules.ready()
        view = await match_identifier(
            self._database, self._parser, request.identifier, request.value, namespace=request.namespace
        )
        return convert.match_to_proto(self._parser.policy, view, request.value)

    async def MergeProfiles(
        self, request: pb.MergeProfilesRequest, context: Context[Any, Any]
    ) -> pb.MergeProfilesResponse:
        """As the proto says."""
        merged = await self._merge(request.internal_user_ids, asked_by(context, request.reason))
        return pb.MergeProfilesResponse(**convert.merged_fields(self._parser.policy, merged))

    async def MergeProfilesJson(
        self, request: pb.MergeProfilesJsonRequest, context: Context[Any, Any]
    ) -> pb.MergeProfilesJsonResponse:
        """As the proto says."""
        merged = await self._merge(convert.user_ids_from_proto(request), asked_by(context, request.reason))
        return pb.MergeProfilesJsonResponse(**convert.merged_fields(self._parser.policy, merged))

    async def _merge(self, internal_user_ids: Iterable[str], asked: Asked) -> MergedProfiles:
        merged = await merge_profiles(
            self._database,
            list(internal_user_ids),
            asked=asked,
            clock_us=self._clock_us,
            compared=self._parser.compared,
            wake=self._wake,
        )
        if merged.merge_id:
            self._metrics.add(MERGES, 1, "manual")
        return merged

    async def Identify(self, request: pb.IdentifyRequest, context: Context[Any, Any]) -> pb.IdentifyResponse:
        """As the proto says."""
        await self._key_rules.ready()
        values = {"email": request.email, "phoneNumber": request.phone_number}
        answer = await self.identifier.identify(read_contact_request(self._parser, values))
        return pb.IdentifyResponse(**convert.contact_fields(answer))

    async def IdentifyJson(
        self, request: pb.IdentifyJsonRequest, context: Context[Any, Any]
    ) -> pb.IdentifyJsonResponse:
        """As the proto says."""
        await self._key_rules.ready()
        values = convert.contact_values_from_json(request.body.data)
        answer = await self.identifier.identify(read_contact_request(self._parser, values))
        return pb.IdentifyJsonResponse(**convert.contact_fields(answer))

    async def UndoMerge(
        self, request: merge_pb2.UndoMergeRequest, context: Context[Any, Any]
    ) -> merge_pb2.UndoMergeResponse:
        """As the proto says."""
        undone = await undo_merge(
            self._database,
            request.merge_id,
            asked=asked_by(context, request.reason),
            clock_us=self._clock_us,
            compared=self._parser.compared,
            wake=self._wake,
        )
        if not undone.already_undone:
            self._metrics.add(UNDOS, 1)
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
            self._database,
            list(request.internal_user_ids),
            asked=asked_by(context, request.reason),
            clock_us=self._clock_us,
        )
        return merge_pb2.CreateNeverMergeResponse(never_merge=convert_history.never_merge_to_proto(kept))

    async def RemoveNeverMerge(
        self, request: merge_pb2.RemoveNeverMergeRequest, context: Context[Any, Any]
    ) -> merge_pb2.RemoveNeverMergeResponse:
        """As the proto says."""
        removed = await remove_never_merge(
            self._database, request.never_merge_id, asked=asked_by(context, request.reason), clock_us=self._clock_us
        )
        return merge_pb2.RemoveNeverMergeResponse(never_merge_id=request.never_merge_id, already_removed=not removed)

    async def DetachIdentifier(
        self, request: separation_pb2.DetachIdentifierRequest, context: Context[Any, Any]
    ) -> separation_pb2.DetachIdentifierResponse:
        """As the proto says."""
        wanted = convert_separation.identifier_from_proto(request, asked_by(context, request.reason))
        detached = await detach_identifier(
            self._database, self._parser, wanted, clock_us=self._clock_us, wake=self._wake
        )
        return convert_separation.detached_to_proto(detached)

    async def AttachIdentifier(
        self, request: separation_pb2.AttachIdentifierRequest, context: Context[Any, Any]
    ) -> separation_pb2.AttachIdentifierResponse:
        """As the proto says."""
        wanted = convert_separation.identifier_from_proto(request, asked_by(context, request.reason))
        attached = await attach_identifier(
            self._database, self._parser, wanted, clock_us=self._clock_us, wake=self._wake
        )
        return convert_separation.attached_to_proto(attached)

    async def ListSharedValues(
        self, request: separation_pb2.ListSharedValuesRequest, context: Context[Any, Any]
    ) -> separation_pb2.ListSharedValuesResponse:
        """As the proto says."""
        values, token = await list_shared_values(
            self._database, page_size=request.page_size, page_token=request.page_token
        )
        return convert_separation.shared_values_to_proto(values, token)

    async def UndoSharedValue(
        self, request: separation_pb2.UndoSharedValueRequest, context: Context[Any, Any]
    ) -> separation_pb2.UndoSharedValueResponse:
        """As the proto says."""
        separated = await undo_shared_value(
            self._database,
            self._parser,
            (request.identifier, request.value),
            asked=asked_by(context, request.reason),
            clock_us=self._clock_us,
            wake=self._wake,
        )
        return convert_separation.separated_to_proto(separated)

    async def ExplainLink(
        self, request: explanation_pb2.ExplainLinkRequest, context: Context[Any, Any]
    ) -> explanation_pb2.ExplainLinkResponse:
        """As the proto says."""
        await self._key_rules.ready()
        explanation = await explain_link(self._database, self._parser, getattr(request, "from"), request.to)
        return convert_explanation.explanation_to_proto(explanation)

    async def GetGraph(
        self, request: explanation_pb2.GetGraphRequest, context: Context[Any, Any]
    ) -> explanation_pb2.GetGraphResponse:
        """As the proto says."""
        graph = await read_graph(self._database, self._parser.policy, request.internal_user_id)
        return convert_explanation.graph_to_proto(graph)

    async def ListRefusals(
        self, request: explanation_pb2.ListRefusalsRequest, context: Context[Any, Any]
    ) -> explanation_pb2.ListRefusalsResponse:
        """As the proto says."""
        refusals, next_page_token = await list_refusals(
            self._database,
            rule=request.rule,
            internal_user_id=request.internal_user_id,
            page_size=request.page_size,
            page_token=request.page_token,
            clock_us=self._clock_us,
        )
        return convert_explanation.refusals_to_proto(refusals, next_page_token)

    async def ExportProfile(
        self, request: erasure_pb2.ExportProfileRequest, context: Context[Any, Any]
    ) -> erasure_pb2.ExportProfileResponse:
        """As the proto says."""
        export = await export_profile(
            self._database,
            self._parser,
            request.internal_user_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return convert_erasure.export_to_proto(self._parser.policy, export)

    async def PreviewErasure(
        self, request: erasure_pb2.PreviewErasureRequest, context: Context[Any, Any]
    ) -> erasure_pb2.PreviewErasureResponse:
        """As the proto says."""
        members, counts = await preview_erasure(self._database, self._parser, convert_erasure.whom_from_proto(request))
        return erasure_pb2.PreviewErasureResponse(
            internal_user_ids=map(public_id, members), counts=convert_erasure.counts_to_proto(counts)
        )

    async def ErasePerson(
        self, request: erasure_pb2.ErasePersonRequest, context: Context[Any, Any]
    ) -> erasure_pb2.ErasePersonResponse:
        """As the proto says."""
        erased = await erase_person(
            self._database,
            self._parser,
            erasure_id=request.erasure_id,
            whom=convert_erasure.whom_from_proto(request),
            clock_us=self._clock_us,
        )
        return convert_erasure.erased_to_proto(erased)

    async def ListErasedEvents(
        self, request: erasure_pb2.ListErasedEventsRequest, context: Context[Any, Any]
    ) -> erasure_pb2.ListErasedEventsResponse:
        """As the proto says."""
        events, next_page_token = await list_erased_events(
            self._database, erasure_id=request.erasure_id, page_size=request.page_size, page_token=request.page_token
        )
        return erasure_pb2.ListErasedEventsResponse(
            event_ids=[event_id for event_id, _ in events],
            of_others=[is_others for _, is_others in events],
            next_page_token=next_page_token,
        )

    async def MatchErased(
        self, request: erasure_pb2.MatchErasedRequest, context: Context[Any, Any]
    ) -> erasure_pb2.MatchErasedResponse:
        """As the proto says."""
        pairs = convert_erasure.pairs_from_proto(request)
        positions = await match_erased(self._database, self._parser, erasure_id=request.erasure_id, pairs=pairs)
        return erasure_pb2.MatchErasedResponse(positions=positions)

    async def ForgetErasedEvents(
        self, request: erasure_pb2.ForgetErasedEventsRequest, context: Context[Any, Any]
    ) -> erasure_pb2.ForgetErasedEventsResponse:
        """As the proto says."""
        forgotten = await forget_erased_events(
            self._database, erasure_id=request.erasure_id, event_ids=request.event_ids
        )
        return erasure_pb2.ForgetErasedEventsResponse(forgotten_events=forgotten)

    async def ConfirmErasure(
        self, request: erasure_pb2.ConfirmErasureRequest, context: Context[Any, Any]
    ) -> erasure_pb2.ConfirmErasureResponse:
        """As the proto says."""
        forgotten = await confirm_erasure(self._database, erasure_id=request.erasure_id, clock_us=self._clock_us)
        return erasure_pb2.ConfirmErasureResponse(forgotten_events=forgotten)

    async def CountEntries(
        self, request: audit_pb2.CountEntriesRequest, context: Context[Any, Any]
    ) -> AsyncIterator[audit_pb2.CountEntriesResponse]:
        """As the proto says."""
        first, last = getattr(request, "from").seconds // 60, request.to.seconds // 60
        async for part in count_entries(self._database, first=first, last=last):
            yield convert.entry_counts_to_proto(part)

    async def TryPolicy(self, request: pb.TryPolicyRequest, context: Context[Any, Any]) -> pb.TryPolicyResponse:
        """As the proto says."""
        return convert_trial.trial_to_proto(await self._trials.run(request.policy.data))

    async def ListActions(self, request: pb.ListActionsRequest, context: Context[Any, Any]) -> pb.ListActionsResponse:
        """As the proto says."""
        return pb.ListActionsResponse(**await answer_actions(self._database, request))
