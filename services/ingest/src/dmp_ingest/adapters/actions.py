"""Actions of every service: those of this one from its table, those of the others by asking them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Final, Protocol

import grpc

from dmp.action.v1 import action_pb2
from dmp.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from dmp.stats.v1 import stats_service_pb2, stats_service_pb2_grpc
from dmp_chassis.actions import Action, ActionPage, ActionQuery, list_actions
from dmp_chassis.database import Database
from dmp_ingest.domain.errors import CannotAskError

_SECONDS: Final = 5.0


class ActionSource(Protocol):
    """A service's actions."""

    async def page(self, query: ActionQuery) -> ActionPage:
        """A page of them. Raises CannotAskError."""


class OwnActions:
    """Those of ingest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: ActionQuery) -> ActionPage:
        """See ActionSource."""
        async with self._database.read() as transaction:
            return await list_actions(transaction, query)


class IdentityActions:
    """Those of identity, over one channel."""

    def __init__(self, identity: grpc.aio.Channel) -> None:
        self._stub: identity_service_pb2_grpc.IdentityServiceAsyncStub
        self._stub = identity_service_pb2_grpc.IdentityServiceStub(identity)

    async def page(self, query: ActionQuery) -> ActionPage:
        """See ActionSource."""
        request = identity_service_pb2.ListActionsRequest(**query.fields())
        try:
            answer = await self._stub.ListActions(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise CannotAskError(service="identity") from error
        return _page(answer.actions, answer.next_page_token)


class StatsActions:
    """Those of stats, over one channel."""

    def __init__(self, stats: grpc.aio.Channel) -> None:
        self._stub: stats_service_pb2_grpc.StatsServiceAsyncStub = stats_service_pb2_grpc.StatsServiceStub(stats)

    async def page(self, query: ActionQuery) -> ActionPage:
        """See ActionSource."""
        request = stats_service_pb2.ListActionsRequest(**query.fields())
        try:
            answer = await self._stub.ListActions(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise CannotAskError(service="stats") from error
        return _page(answer.actions, answer.next_page_token)


def _page(actions: Sequence[action_pb2.Action], next_page_token: str) -> ActionPage:
    return ActionPage(
        actions=[
            Action(
                id=one.action_id,
                acted_at=one.acted_at.ToDatetime(tzinfo=UTC),
                kind=one.kind,
                actor=one.actor,
                result=one.result,
                subjects=list(one.internal_user_ids),
                refs=dict(one.refs),
                counts=dict(one.counts),
                reason=one.reason or None,
            )
            for one in actions
        ],
        next_page_token=next_page_token,
    )
