"""Actions as the messages of every service have them: the fields have the same names in each proto."""

from __future__ import annotations

from typing import Any

from google.protobuf import timestamp_pb2

from dmp_chassis.actions.action import Action
from dmp_chassis.actions.pages import ActionPage, ActionQuery, action_query, list_actions
from dmp_chassis.database import Database


def query_of(request: Any) -> ActionQuery:  # noqa: ANN401 - the `ListActionsRequest` of any service
    """The query of a request. Raises InvalidArgument."""
    return action_query(
        first=getattr(request, "from"),
        last=request.to,
        kind=request.kind,
        actor=request.actor,
        page_size=request.page_size,
        page_token=request.page_token,
    )


async def answer_actions(database: Database, request: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The fields of the `ListActionsResponse` of this service alone. Raises InvalidArgument."""
    query = query_of(request)
    async with database.read() as connection:
        return page_fields(await list_actions(connection, query))


def page_fields(page: ActionPage) -> dict[str, Any]:
    """The fields of a `ListActionsResponse`."""
    return {"actions": [_fields(action) for action in page.actions], "next_page_token": page.next_page_token}


def _fields(action: Action) -> dict[str, Any]:
    """The fields of `dmp.action.v1.Action`."""
    acted_at = timestamp_pb2.Timestamp()
    acted_at.FromDatetime(action.acted_at)
    return {
        "action_id": action.id,
        "acted_at": acted_at,
        "kind": action.kind,
        "actor": action.actor,
        "result": action.result,
        "internal_user_ids": action.subjects,
        "refs": action.refs,
        "counts": action.counts,
        "reason": action.reason or "",
    }
