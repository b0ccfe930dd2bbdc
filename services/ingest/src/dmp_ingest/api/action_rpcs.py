"""The RPC that lists what people decided."""

from __future__ import annotations

from collections.abc import Sequence

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.actions import page_fields, query_of
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_ingest.adapters.actions import ActionSource
from dmp_ingest.domain.action_kinds import ACTION_KINDS
from dmp_ingest.list_actions import list_actions_everywhere


class ActionRpcs:
    """Lists actions. Raises what the proto lists."""

    def __init__(self, sources: Sequence[ActionSource]) -> None:
        self._sources = sources

    async def list(self, request: pb.ListActionsRequest) -> pb.ListActionsResponse:
        """One page of the actions of all services."""
        query = query_of(request)
        if query.kind and query.kind not in ACTION_KINDS:
            raise InvalidArgument([Violation("kind", f"must be one of {', '.join(ACTION_KINDS)}")])
        page = await list_actions_everywhere(query, sources=self._sources)
        return pb.ListActionsResponse(**page_fields(page))
