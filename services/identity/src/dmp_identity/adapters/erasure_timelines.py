"""Takes an erased person's events off their timelines, and lists them for whoever cleans the log."""

from __future__ import annotations

from typing import Any, Final

import psycopg

Connection = psycopg.AsyncConnection[Any]

_LAST_OF_SLICE: Final = """
SELECT occurred_at_us, event_id FROM timeline_entry
WHERE profile_id = %(profile)s AND (occurred_at_us, event_id) > (%(at_us)s, %(event)s)
ORDER BY occurred_at_us, event_id LIMIT 1 OFFSET %(skipped)s
"""
_LIST_AND_DELETE: Final = """
WITH gone AS (
  DELETE FROM timeline_entry
  WHERE profile_id = %(profile)s AND (occurred_at_us, event_id) > (%(at_us)s, %(event)s)
  AND (occurred_at_us, event_id) <= (%(last_at_us)s, %(last_event)s)
  RETURNING event_id
), listed AS (
  INSERT INTO erasure_page (erasure_id, is_others, events, event_ids)
  SELECT %(erasure)s, false, count(*), array_agg(event_id ORDER BY event_id) FROM gone HAVING count(*) > 0
)
SELECT count(*) FROM gone
"""
_LIST_OTHERS: Final = """
WITH seen AS MATERIALIZED (
  SELECT event_id FROM timeline_entry
  WHERE profile_id = %(profile)s AND (occurred_at_us, event_id) > (%(at_us)s, %(event)s)
  AND (occurred_at_us, event_id) <= (%(last_at_us)s, %(last_event)s)
), listed AS (
  INSERT INTO erasure_page (erasure_id, is_others, events, event_ids)
  SELECT %(erasure)s, true, count(*), array_agg(event_id ORDER BY event_id) FROM seen HAVING count(*) > 0
)
SELECT count(*) FROM seen
"""
_END_OF_TIME_US: Final = 2**63 - 1


async def slice_of_timeline(connection: Connection, erasure_id: str, limit: int) -> tuple[int, bool] | None:
    """Puts up to `limit` events of the next timeline on the erasure's list, and takes them off the timeline if it is
    the person's own: how many, and whether it was. None if no timeline is left.
    """
    cursor = await connection.execute(
        "SELECT is_others, profile_id, occurred_at_us, event_id FROM erasure_timeline WHERE erasure_id = %s"
        " ORDER BY is_others, profile_id LIMIT 1",
        (erasure_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    is_others, profile, at_us, event_id = row
    given = {"erasure": erasure_id, "others": is_others, "profile": profile, "at_us": at_us, "event": event_id}
    cursor = await connection.execute(_LAST_OF_SLICE, given | {"skipped": limit - 1})
    last = await cursor.fetchone()
    given["last_at_us"], given["last_event"] = last or (_END_OF_TIME_US, "")
    cursor = await connection.execute(_LIST_OTHERS if is_others else _LIST_AND_DELETE, given)
    counted = await cursor.fetchone()
    assert counted is not None
    if last is None:
        await connection.execute(
            "DELETE FROM erasure_timeline"
            " WHERE erasure_id = %(erasure)s AND is_others = %(others)s AND profile_id = %(profile)s",
            given,
        )
    else:
        await connection.execute(
            "UPDATE erasure_timeline SET occurred_at_us = %(last_at_us)s, event_id = %(last_event)s"
            " WHERE erasure_id = %(erasure)s AND is_others = %(others)s AND profile_id = %(profile)s",
            given,
        )
    return counted[0], is_others
