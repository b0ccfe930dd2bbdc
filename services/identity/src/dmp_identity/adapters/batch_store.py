"""The inbox: which batches have been applied, and what was true when this one came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from dmp_identity.adapters.graph_version import SERVER
from dmp_identity.domain.snapshot import GraphVersion

_REMEMBER: Final = f"""
WITH noted AS (INSERT INTO inbox (batch_id) SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING RETURNING 1)
SELECT coalesce((SELECT max(erased_at_us) FROM erasure), 0), {SERVER}, v.people, v.evidence
FROM noted, graph_version v
""".encode()  # noqa: S608  # no input in it


async def remember_batches(
    connection: psycopg.AsyncConnection[Any], batch_ids: Sequence[str]
) -> tuple[int, GraphVersion] | None:
    """Notes that this transaction applies the batches; None if another one has applied any. Waits for one that is about
    to.

    Otherwise returns when a person was erased last, in microseconds since 1970, 0 if nobody ever was, and the version
    of the graph.
    """
    cursor = await connection.execute(_REMEMBER, (list(batch_ids),))
    rows = await cursor.fetchall()
    return (rows[0][0], GraphVersion(*rows[0][1:])) if len(rows) == len(batch_ids) else None
