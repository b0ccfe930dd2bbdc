"""A person with very many events, put into the log and the timeline as if the events had been accepted."""

from __future__ import annotations

import uuid
from typing import Final, LiteralString

import psycopg

from dmp_identity.domain.profile_id import profile_id_from_public
from dmp_stack.stack import Stack

_AT_ONCE: Final = 500_000
# Random UUIDs, so that each event lies in another page of the log's index, as for a person of years.
_LOG: Final[LiteralString] = """
INSERT INTO event (event_key, batch_id, fingerprint, occurred_at, received_at, event_id, type, source, campaign_id,
  user_id, identifiers, metadata)
SELECT k.id, %(batch)s::text::uuid, k.n, to_timestamp(1700000000 + k.n * 0.001), now(), k.id::text, 'view', 'web',
  'campaign_1',
  CASE WHEN k.n %% 2 = 0 THEN %(user_id)s::text END,
  CASE WHEN k.n %% 2 = 0 THEN json_build_array(json_build_array('user_id', %(user_id)s::text))
    ELSE json_build_array(json_build_array('email', %(email)s::text)) END,
  json_build_object('page', '/p/' || k.n, 'mail', %(email)s::text)
FROM (SELECT n, md5(%(batch)s::text || n)::uuid AS id FROM generate_series(%(first)s, %(last)s) AS n) AS k
"""
_TIMELINE: Final[LiteralString] = """
INSERT INTO timeline_entry (profile_id, occurred_at_us, event_id, type, source)
SELECT %(profile)s, 1700000000000000 + n * 1000::bigint, (md5(%(batch)s::text || n)::uuid)::text, 'view', 'web'
FROM generate_series(%(first)s, %(last)s) AS n
"""
_FILL: Final[dict[str, LiteralString]] = {"ingest": _LOG, "identity": _TIMELINE}
_LEFT: Final[dict[str, LiteralString]] = {
    "ingest": "SELECT count(*) FROM event WHERE batch_id = %(batch)s::text::uuid AND"
    " (user_id IS NOT NULL OR identifiers IS NOT NULL OR metadata IS NOT NULL)",
    "identity": "SELECT count(*) FROM timeline_entry WHERE profile_id = %(profile)s",
}


class ManyEvents:
    """So many events of a person who exists. internal_user_id, email, user_id: the person's."""

    def __init__(self, stack: Stack, internal_user_id: str, *, email: str, user_id: str, entries: int) -> None:
        self._stack = stack
        self._entries = entries
        self._values = {
            "profile": profile_id_from_public(internal_user_id),
            "email": email,
            "user_id": user_id,
            "batch": str(uuid.uuid4()),
        }

    def store(self) -> None:
        """Puts them into both databases."""
        for context, statement in _FILL.items():
            with psycopg.connect(self._stack.database_url(context), autocommit=True) as connection:
                for first in range(0, self._entries, _AT_ONCE):
                    last = min(first + _AT_ONCE, self._entries) - 1
                    connection.execute(statement, {**self._values, "first": first, "last": last})

    def left(self) -> dict[str, int]:
        """How many each database has that show anything of the person."""
        found = {}
        for context, query in _LEFT.items():
            with psycopg.connect(self._stack.database_url(context)) as connection:
                row = connection.execute(query, self._values).fetchone()
                found[context] = 0 if row is None else int(row[0])
        return found
