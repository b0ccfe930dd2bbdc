"""Reads actions in pages, the newest first, in the one order that several services share: time, then id."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.actions.action import Action
from dmp_chassis.database import raw
from dmp_chassis.instants import (
    EARLIEST_US,
    LATEST_US,
    format_instant,
    instant_from_us,
    instant_problem,
    instant_us,
    read_instant_us,
)
from dmp_chassis.page_token import NOT_FROM_US, position_of, token_of
from dmp_chassis.violations import Violations

MOST_ACTIONS: Final = 1000
_DEFAULT_ACTIONS: Final = 100
_KIND: Final = re.compile("[a-z_]{1,64}", re.ASCII).fullmatch
_LONGEST_ACTOR: Final = 64
_LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"

_PAGE: Final = """
SELECT kind, actor, result, subjects, refs, counts, reason, acted_at, id::text FROM action
WHERE acted_at >= %(first)s AND (acted_at, id) < (%(before)s, %(before_id)s::uuid)
  {and_kind} {and_actor}
ORDER BY acted_at DESC, id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionQuery:
    """Which actions are wanted: those between two times that come before a position. Empty texts stand for all."""

    first: datetime
    """Included."""
    before: datetime
    before_id: str
    """With `before` the position after which the page goes on; itself not included."""
    kind: str
    actor: str
    page_size: int

    def fields(self) -> dict[str, Any]:
        """The fields of a request that asks another service for the same."""
        return {
            "from": format_instant(self.first),
            "kind": self.kind,
            "actor": self.actor,
            "page_size": self.page_size,
            "page_token": token_of((instant_us(self.before), self.before_id)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPage:
    """The newest actions first; the token of the next page, empty if this was the last one."""

    actions: Sequence[Action]
    next_page_token: str


def action_query(*, first: str, last: str, kind: str, actor: str, page_size: int, page_token: str) -> ActionQuery:
    """The query that a request asks for. first, last: RFC 3339, both included; empty for no limit. page_size: 0 stands
    for 100; at most 1000. Raises InvalidArgument with all problems.
    """
    violations = Violations()
    first_us = _instant("from", first, EARLIEST_US, violations)
    last_us = _instant("to", last, LATEST_US, violations)
    if first and last and first_us > last_us:
        violations.add("from", "must not be after to")
    if kind and _KIND(kind) is None:
        violations.add("kind", "must be 1 to 64 of a-z and _")
    if len(actor) > _LONGEST_ACTOR or "\0" in actor:
        violations.add("actor", f"must have at most {_LONGEST_ACTOR} characters, none NUL")
    if page_size < 0:
        violations.add("page_size", "must not be negative")
    position = _position(page_token) if page_token else (last_us, _LAST_ID)
    if position is None:
        violations.add("page_token", NOT_FROM_US)
    violations.check()
    assert position is not None
    return ActionQuery(
        first=instant_from_us(first_us),
        before=instant_from_us(position[0]),
        before_id=position[1],
        kind=kind,
        actor=actor,
        page_size=min(page_size or _DEFAULT_ACTIONS, MOST_ACTIONS),
    )


async def list_actions(connection: AsyncConnection, query: ActionQuery) -> ActionPage:
    """One page of this service's actions."""
    statement = _PAGE.format(
        and_kind="AND kind = %(kind)s" if query.kind else "", and_actor="AND actor = %(actor)s" if query.actor else ""
    )
    cursor = await raw(connection).execute(
        statement.encode(),
        {
            "first": query.first,
            "before": query.before,
            "before_id": query.before_id,
            "kind": query.kind,
            "actor": query.actor,
            "limit": query.page_size + 1,
        },
    )
    found = [
        Action(
            kind=row[0],
            actor=row[1],
            result=row[2],
            subjects=row[3],
            refs=row[4],
            counts=row[5],
            reason=row[6],
            acted_at=row[7],
            id=row[8],
        )
        for row in await cursor.fetchall()
    ]
    return page_of(found, query.page_size)


def page_of(actions: Iterable[Action], page_size: int, *, more: bool = False) -> ActionPage:
    """A page of actions, which may be of several services, in their one order. It is the last one if there are no more
    than fit, and no `more` elsewhere.
    """
    ordered = sorted(actions, key=lambda action: (action.acted_at, action.id), reverse=True)
    page = ordered[:page_size]
    token = (
        token_of((instant_us(page[-1].acted_at), page[-1].id)) if page and (more or len(ordered) > page_size) else ""
    )
    return ActionPage(actions=page, next_page_token=token)


def _instant(field: str, text: str, default_us: int, violations: Violations) -> int:
    at_us = read_instant_us(text) if text else default_us
    if at_us is None:
        violations.add(field, instant_problem(text))
        return default_us
    return at_us


def _position(token: str) -> tuple[int, str] | None:
    position = position_of(token, tuple[int, str])
    if position is None or not EARLIEST_US <= position[0] <= LATEST_US:
        return None
    try:
        return position[0], str(uuid.UUID(position[1]))
    except ValueError:
        return None
