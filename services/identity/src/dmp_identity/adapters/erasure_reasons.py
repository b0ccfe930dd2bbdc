"""Takes reasons away that name an erased person, where merges and what keeps people apart have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

Connection = psycopg.AsyncConnection[Any]

_MERGES: Final = """
UPDATE merge SET reason = '', undo_reason = CASE WHEN undo_reason IS NULL THEN NULL ELSE '' END
WHERE id = ANY(%s::uuid[])
"""
_NEVER_MERGES: Final = """
UPDATE never_merge SET reason = '', removal_reason = CASE WHEN removal_reason IS NULL THEN NULL ELSE '' END
WHERE id = ANY(%s::uuid[]) OR merge_id = ANY(%s::uuid[])
"""


async def remove_reasons_of_acts(connection: Connection, acts: Sequence[Mapping[str, str]]) -> None:
    """Takes the reasons of the merges and never-merges away that these acts, given by their refs, made or undid."""
    merges = [refs["merge_id"] for refs in acts if "merge_id" in refs]
    kept_apart = [refs["never_merge_id"] for refs in acts if "never_merge_id" in refs]
    if merges:
        await connection.execute(_MERGES, (merges,))
    if merges or kept_apart:
        await connection.execute(_NEVER_MERGES, (kept_apart, merges))
