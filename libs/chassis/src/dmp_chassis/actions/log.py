"""The table of actions: a row is written in the transaction of its act, and stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from dmp_chassis.actions.action import MOST_SUBJECTS, Action
from dmp_chassis.domain_events import DomainEvent, add_over

Connection = psycopg.AsyncConnection[Any]

_RECORD: Final = b"""
INSERT INTO action (id, acted_at, kind, actor, result, subjects, refs, counts, reason)
VALUES (%s, %s, %s, %s, %s, %s::text[], %s::jsonb, %s::jsonb, %s)
"""
# The trigger lets this through: a reason goes, and nothing else of the row.
# A text counts as a word of its own: `7` is not in `17`.
_REMOVE: Final = rb"""
UPDATE action SET reason = NULL WHERE reason IS NOT NULL AND (
  subjects && %(subjects)s::text[]
  OR EXISTS (
    SELECT FROM unnest(%(texts)s::text[]) AS given (text)
    WHERE strpos(lower(reason), lower(text)) > 0
      AND lower(reason) ~ ('(^|[^[:alnum:]])' || regexp_replace(lower(text), '([^[:alnum:]])', '\\\1', 'g')
        || '($|[^[:alnum:]])')
  )
) RETURNING refs
"""


def action_table(metadata: sa.MetaData) -> sa.Table:
    """Adds the table `action` to a service's metadata; its migration must create the same, and a trigger that refuses
    every UPDATE, DELETE and TRUNCATE but those of `remove_reasons` and `expire_actions`.
    """
    return sa.Table(
        "action",
        metadata,
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("subjects", ARRAY(sa.Text), nullable=False),
        sa.Column("refs", JSONB, nullable=False),
        sa.Column("counts", JSONB, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Index("action_acted_at", "acted_at", "id"),
        sa.Index("action_kind", "kind", "acted_at", "id"),
        sa.Index("action_actor", "actor", "acted_at", "id"),
    )


async def record(connection: Connection, action: Action) -> None:
    """Writes the action, and the domain event `ActionRecorded` (without the reason), in the caller's transaction."""
    subjects = list(action.subjects[:MOST_SUBJECTS])
    refs = {name: value for name, value in action.refs.items() if value}
    await connection.execute(
        _RECORD,
        (
            action.id,
            action.acted_at,
            action.kind,
            action.actor,
            action.result,
            subjects,
            msgspec.json.encode(refs).decode(),
            msgspec.json.encode(action.counts).decode(),
            action.reason or None,
        ),
    )
    payload = {
        "action_id": action.id,
        "kind": action.kind,
        "actor": action.actor,
        "result": action.result,
        "internal_user_ids": subjects,
        "refs": refs,
        "counts": action.counts,
    }
    await add_over(connection, [DomainEvent(kind="ActionRecorded", payload=payload, occurred_at=action.acted_at)])


async def remove_reasons(
    connection: Connection, *, subjects: Sequence[str], texts: Sequence[str]
) -> list[dict[str, str]]:
    """Takes away the reasons of actions about any of these subjects, and those that have one of the texts in them as a
    word, whatever its case. Returns the refs of each. It reads every reason there is.
    """
    await _allow(connection, "remove_reasons")
    done = await connection.execute(_REMOVE, {"subjects": list(subjects), "texts": [text for text in texts if text]})
    refs = [row[0] for row in await done.fetchall()]
    await _allow(connection, "")
    return refs


async def _allow(connection: Connection, what: str) -> None:
    """Tells the trigger what this transaction may do to rows that are there."""
    await connection.execute(b"SELECT set_config('dmp.actions', %s, true)", (what,))
