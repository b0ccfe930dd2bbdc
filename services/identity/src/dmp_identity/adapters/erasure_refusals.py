"""Takes what was refused about an erased person off the review list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

Connection = psycopg.AsyncConnection[Any]

_OWN_REFUSALS: Final = (
    "DELETE FROM review WHERE ctid = ANY(ARRAY(SELECT ctid FROM review WHERE profile_id = ANY(%s) LIMIT %s))"
)
# The identifier is not the person's any more, so whose events show it must stay known.
_REFUSALS_OF_OTHERS: Final = """
WITH gone AS (
  DELETE FROM review WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM review WHERE other_profile_id = ANY(%s) AND other_profile_id <> 0 LIMIT %s
  ))
  RETURNING rule, type, value, profile_id, times, first_at_us, last_at_us, ref, source
), kept AS (
  INSERT INTO review (rule, type, value, profile_id, other_profile_id, times, first_at_us, last_at_us, ref, source)
  SELECT DISTINCT ON (rule, type, value, profile_id)
    rule, type, value, profile_id, 0, times, first_at_us, last_at_us, ref, source
  FROM gone ORDER BY rule, type, value, profile_id, last_at_us DESC
  ON CONFLICT DO NOTHING
)
SELECT FROM gone
"""


async def slice_of_refusals(connection: Connection, profiles: Sequence[int], limit: int) -> tuple[int, int]:
    """Takes up to `limit` entries off the review list that concern the erased profiles. Returns how many, and how many
    of them were refusals of other people's evidence.

    Of the latter a shorter entry stays, without the erased person: it names which events of others show the identifier.
    """
    counts: list[int] = []
    for statement in (_OWN_REFUSALS, _REFUSALS_OF_OTHERS):
        cursor = await connection.execute(statement, (list(profiles), limit - sum(counts)))
        counts.append(cursor.rowcount)
    return sum(counts), counts[1]
