"""The gRPC service: reads requests, calls one use case each, writes answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
from google.api import httpbody_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp.stats.v1 import stats_service_pb2_grpc
from dmp_chassis.actions import Asked, answer_actions, asked_by
from dmp_chassis.database import Database
from dmp_chassis.http_body import came_through_gateway
from dmp_chassis.interceptors import answers_in_parts
from dmp_chassis.metrics import Metrics, timing
from dmp_chassis.page_token import number_token
from dmp_chassis.violations import Violations
from dmp_stats.adapters import reference_store
from dmp_stats.adapters.batch_writer import BatchWriter
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.adapters.reference_store import Generation
from dmp_stats.api import render_stats, rendered
from dmp_stats.api.batch_columns import RequestColumns, parse_request
from dmp_stats.api.cells_convert import cells_to_proto, correction_from_proto, minutes_from_proto
from dmp_stats.api.convert import (
    batch_from_request,
    campaign_to_proto,
    live_to_proto,
    metrics_to_proto,
    stats_query_from_proto,
    stats_to_proto,
    timestamp_to_proto,
    user_ids_from_proto,
)
from dmp_stats.api.long_answers import LongAnswers
from dmp_stats.api.next_page import next_page_link
from dmp_stats.api.reference_reader import ReferenceReader
from dmp_stats.apply_batch import apply_batch
from dmp_stats.audit_cells import list_cells, replace_cells
from dmp_stats.domain.errors import UserNotFoundError
from dmp_stats.domain.series import size_of
from dmp_stats.domain.stats_query import check_id
from dmp_stats.forget_users import forget_users
from dmp_stats.get_metrics import check_metrics_query, get_metrics
from dmp_stats.list_campaigns import check_campaigns_query, list_campaigns, token_after
from dmp_stats.live_window import LiveWindow
from dmp_stats.metrics import APPLY, BATCH_AGE, BATCHES, EVENTS
from dmp_stats.query_stats import may_be_long, query_stats
from dmp_stats.replace_reference import ReferenceTable, replace_reference
from dmp_stats.update_reference import update_reference
from dmp_stats.watch_live import LiveFeed, check_live

if TYPE_CHECKING:  # generic in the stubs only
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME: Final = "dmp.stats.v1.StatsService"

_DEFAULT_TOP: Final = 10
_POINTS_INLINE: Final = 10_000
"""An answer with more points is written in a thread."""
UPDATED: Final = "Reference table updated successfully"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What the use cases work with.

    `wake` wakes the publisher of domain events; `clock` gives seconds since 1970 UTC.
    """

    database: Database
    batches: BatchWriter
    deltas: DeltaCache
    window: LiveWindow
    live: LiveFeed
    wake: asyncio.Event
    most_users: int
    metrics: Metrics
    clock: Callable[[], float] = time.time


class StatsServicer(stats_service_pb2_grpc.StatsServiceServicer):
    """Implements `dmp.stats.v1.StatsService`."""

    # ruff: noqa: N802  # the methods have the names of their RPCs

    def __init__(self, dependencies: Dependencies) -> None:
        self._with = dependencies
        self._long_answers = LongAnswers()
        self._reader = ReferenceReader(
            dependencies.database, most_users=dependencies.most_users, clock=dependencies.clock
        )

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all methods. ApplyBatch, which is called for every group of events, reads its request itself."""
        apply_batch_handler = grpc.unary_unary_rpc_method_handler(
            self.ApplyBatch,
            request_deserializer=parse_request,
            response_serializer=pb.ApplyBatchResponse.SerializeToString,
        )
        # The first that knows a method answers it.
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE_NAME, {"ApplyBatch": apply_batch_handler}),)
        )
        stats_service_pb2_grpc.add_StatsServiceServicer_to_server(self, server)

    async def ApplyBatch(
        self, request: RequestColumns | pb.ApplyBatchRequest, context: Context
    ) -> pb.ApplyBatchResponse:
        """See the proto."""
        to = self._with
        batch = batch_from_request(request)
        with timing(to.metrics, APPLY):
            is_new = await apply_batch(batch, to.batches, to.deltas, to.window, now=to.clock())
        to.metrics.add(BATCHES, 1, "applied" if is_new else "repeated")
        if is_new:
            to.metrics.add(EVENTS, len(batch.types))
            to.metrics.observe(BATCH_AGE, max(0.0, to.clock() - request.batch.accepted_at_us / 1e6))
        return pb.ApplyBatchResponse(already_applied=not is_new)

    async def QueryStats(self, request: pb.QueryStatsRequest, context: Context) -> pb.QueryStatsResponse:
        """See the proto."""
        query = stats_query_from_proto(request)
        is_long = may_be_long(query)
        with ExitStack() as held:
            room = held.enter_context(self._long_answers.room(is_long=is_long))
            async with self._long_answers.turn(is_long=is_long):
                answer = await query_stats(query, self._with.database, self._with.deltas)
                if len(answer.series.starts) <= _POINTS_INLINE:
                    return stats_to_proto(query, answer)
                response = await asyncio.to_thread(stats_to_proto, query, answer)
            room.hold(response.ByteSize())
            # gRPC's library keeps the message until the caller has taken it.
            until_taken = held.pop_all()
            context.add_done_callback(lambda _: until_taken.close())  # type: ignore[arg-type] # a class in the stubs
            return response

    @answers_in_parts
    async def RenderStats(
        self, request: pb.RenderStatsRequest, context: Context
    ) -> AsyncIterator[pb.RenderStatsResponse]:
        """See the proto."""
        query = stats_query_from_proto(request)
        is_long = may_be_long(query)
        with self._long_answers.room(is_long=is_long) as room:
            async with self._long_answers.turn(is_long=is_long):
                answer = await query_stats(query, self._with.database, self._with.deltas)
            is_long = len(answer.series.starts) > render_stats.POINTS_OF_A_PIECE
            room.hold(size_of(answer.series) if is_long else 0)
            is_csv = render_stats.wants_csv(_header(context, "accept"))
            pieces = (render_stats.stats_csv if is_csv else render_stats.stats_json)(query, answer)
            content_type = render_stats.CSV if is_csv else render_stats.JSON
            link = next_page_link(_header(context, "x-envoy-original-path"), number_token(answer.next_minute))
            if link is not None:
                await context.send_initial_metadata((link,))
            async with aclosing(self._long_answers.written(pieces, is_long=is_long)) as written:
                async for data in written:
                    body = httpbody_pb2.HttpBody(content_type=content_type, data=data)
                    yield pb.RenderStatsResponse(rendered=body)
                    content_type = ""

    async def ListCampaigns(self, request: pb.ListCampaignsRequest, context: Context) -> pb.ListCampaignsResponse:
        """See the proto."""
        query = check_campaigns_query(
            start=getattr(request, "from"), end=request.to, page_size=request.page_size, page_token=request.page_token
        )
        page = await list_campaigns(query, self._with.database, self._with.deltas)
        if came_through_gateway(context):
            return pb.ListCampaignsResponse(rendered=rendered.campaigns_json(page))
        return pb.ListCampaignsResponse(
            campaigns=[campaign_to_proto(name, totals) for name, totals in page.campaigns.items()],
            next_page_token=token_after(page.next_after),
        )

    async def GetMetrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:
        """See the proto."""
        query = check_metrics_query(
            window_seconds=request.window if request.HasField("window") else None,
            group_by=request.group_by,
            longest_seconds=self._with.window.retention_seconds,
        )
        counts = await get_metrics(query, self._with.window)
        if came_through_gateway(context):
            return pb.GetMetricsResponse(rendered=rendered.metrics_json(counts))
        return metrics_to_proto(counts)

    async def ReplaceReferenceUsers(
        self, request_iterator: AsyncIterator[pb.ReplaceReferenceUsersRequest], context: Context
    ) -> pb.ReplaceReferenceUsersResponse:
        """See the proto."""
        with ExitStack() as held:
            table = await self._reader.from_stream(request_iterator, held)
            version = await self._replace(table, asked_by(context))
        return pb.ReplaceReferenceUsersResponse(message=UPDATED, generation=version.generation, users=version.users)

    async def ReplaceReferenceUsersJson(
        self, request: pb.ReplaceReferenceUsersJsonRequest, context: Context
    ) -> pb.ReplaceReferenceUsersJsonResponse:
        """See the proto."""
        with ExitStack() as held:
            table = await self._reader.from_body(request.body.data, context, held, is_change=False)
            version = await self._replace(table, asked_by(context))
        return pb.ReplaceReferenceUsersJsonResponse(message=UPDATED, generation=version.generation, users=version.users)

    async def UpdateReferenceUsersJson(
        self, request: pb.UpdateReferenceUsersJsonRequest, context: Context
    ) -> pb.UpdateReferenceUsersJsonResponse:
        """See the proto."""
        to = self._with
        with ExitStack() as held:
            change = await self._reader.from_body(request.body.data, context, held, is_change=True)
            version = await update_reference(change, to.database, to.window, asked=asked_by(context), wake=to.wake)
        return pb.UpdateReferenceUsersJsonResponse(message=UPDATED, generation=version.generation, users=version.users)

    async def GetReference(self, request: pb.GetReferenceRequest, context: Context) -> pb.GetReferenceResponse:
        """See the proto."""
        async with self._with.database.read() as connection:
            version = await reference_store.current(connection)
        if version is None:
            return pb.GetReferenceResponse()
        return pb.GetReferenceResponse(
            generation=version.generation, users=version.users, ts=timestamp_to_proto(version.ts)
        )

    async def GetReferenceUser(
        self, request: pb.GetReferenceUserRequest, context: Context
    ) -> pb.GetReferenceUserResponse:
        """See the proto."""
        problems = Violations()
        check_id("user_id", request.user_id, problems.add)
        problems.check()
        attributes, version = await self._with.window.attributes_of(request.user_id)
        if attributes is None or version is None:
            raise UserNotFoundError(user_id=request.user_id, generation=0 if version is None else version.generation)
        return pb.GetReferenceUserResponse(
            user_id=request.user_id,
            attributes=attributes,
            generation=version.generation,
            ts=timestamp_to_proto(version.ts),
        )

    async def WatchLive(self, request: pb.WatchLiveRequest, context: Context) -> AsyncIterator[pb.WatchLiveResponse]:
        """See the proto."""
        top = request.top or _DEFAULT_TOP
        check_live(top=top, seconds=request.seconds)
        is_rendered = came_through_gateway(context)
        left = request.seconds
        views = self._with.live.watch()
        try:
            async for view in views:
                if is_rendered:
                    yield pb.WatchLiveResponse(rendered=rendered.live_event(view, top=top))
                else:
                    yield live_to_proto(view, top=top)
                left -= 1
                if left == 0:
                    return
        finally:
            await views.aclose()

    async def ListCells(self, request: pb.ListCellsRequest, context: Context) -> AsyncIterator[pb.ListCellsResponse]:
        """See the proto."""
        first, last = minutes_from_proto(request)
        parts = list_cells(
            self._with.database, self._with.deltas, campaign_id=request.campaign_id, first=first, last=last
        )
        try:
            async for part in parts:
                yield cells_to_proto(part)
        finally:
            await parts.aclose()

    async def ForgetUsers(self, request: pb.ForgetUsersRequest, context: Context) -> pb.ForgetUsersResponse:
        """See the proto."""
        to = self._with
        user_ids = user_ids_from_proto(request)
        forgot = await forget_users(user_ids, to.database, to.window, wake=to.wake)
        return pb.ForgetUsersResponse(batches=forgot.batches, generation=forgot.generation)

    async def ReplaceCells(self, request: pb.ReplaceCellsRequest, context: Context) -> pb.ReplaceCellsResponse:
        """See the proto."""
        correction = correction_from_proto(request)
        await replace_cells(correction, self._with.database, self._with.deltas, asked=asked_by(context))
        return pb.ReplaceCellsResponse(minutes=len(correction.minutes))

    async def ListActions(self, request: pb.ListActionsRequest, context: Context) -> pb.ListActionsResponse:
        """See the proto."""
        return pb.ListActionsResponse(**await answer_actions(self._with.database, request))

    async def _replace(self, table: ReferenceTable, asked: Asked) -> Generation:
        to = self._with
        return await replace_reference(table, to.database, to.window, asked=asked, wake=to.wake)


def _header(context: Context, name: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value
    return ""
