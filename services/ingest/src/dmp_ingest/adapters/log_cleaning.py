"""Takes personal fields out of events of the log. Ids, times, counts and fingerprints stay."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from dmp_chassis.database import Database, raw
from dmp_ingest.adapters.contents_lock import own_contents
from dmp_ingest.adapters.uuid_text import uuid_array_text
from dmp_ingest.domain.personal_values import without_values

_SHOWN: Final = (
    "SELECT event_key, identifiers FROM event WHERE event_key = ANY(%(keys)s::uuid[]) AND identifiers IS NOT NULL"
)
_CLEAN: Final = """
WITH cleaned AS (
  UPDATE event SET user_id = NULL, identifiers = NULL, metadata = NULL WHERE event_key = ANY(%(keys)s::uuid[])
  AND (user_id IS NOT NULL OR identifiers IS NOT NULL OR metadata IS NOT NULL)
  RETURNING old.identifiers::text AS shown
)
SELECT shown, count(*) FROM cleaned GROUP BY shown
"""
_READ: Final = (
    "SELECT event_key, user_id, identifiers, metadata::text FROM event WHERE event_key = ANY(%(keys)s::uuid[])"
)
# What was emptied in between stays empty.
_REWRITE: Final = (
    "UPDATE event SET user_id = %(user_id)s, identifiers = %(identifiers)s, metadata = %(metadata)s"
    " WHERE event_key = %(key)s AND type <> ''"
)
_REWRITTEN_AT_ONCE: Final = 200
_USER_ID: Final = "user_id"
_PAIRS: Final = msgspec.json.Decoder(list[tuple[str, str]])

Pair = tuple[str, str]


class UntoldUserIdsError(Exception):
    """Events show user ids that stats has to be told of first: once they are clean, nobody can."""

    def __init__(self, user_ids: Collection[str]) -> None:
        super().__init__()
        self.user_ids = set(user_ids)


class LogCleaner:
    """The event log, for erasures. Every step may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def shown(self, keys: Sequence[bytes]) -> dict[bytes, list[Pair]]:
        """The identifiers, as they were sent, of those of the events that still have any."""
        async with self._database.read() as transaction:
            cursor = await raw(transaction).execute(_SHOWN.encode(), {"keys": uuid_array_text(keys)})
            rows = await cursor.fetchall()
        return {row[0].bytes: [(kind, value) for kind, value in row[1]] for row in rows}

    async def clean(self, keys: Sequence[bytes], *, told: Collection[str]) -> int:
        """Removes all personal fields from these events. Returns how many events had any.

        Raises UntoldUserIdsError, and does nothing, if any of them shows a user id that stats was not told of.
        """
        async with self._database.begin() as transaction:
            connection = raw(transaction)
            await own_contents(connection)
            rows = await (await connection.execute(_CLEAN.encode(), {"keys": uuid_array_text(keys)})).fetchall()
            shown = {value for row in rows if row[0] for kind, value in _PAIRS.decode(row[0]) if kind == _USER_ID}
            if untold := shown.difference(told):
                raise UntoldUserIdsError(untold)
        return sum(row[1] for row in rows)

    async def take_out(self, keys: Sequence[bytes], gone: Collection[Pair]) -> int:
        """Removes these identifiers from these events, also where they are values of the metadata.

        Returns how many events had any.
        """
        count = 0
        for start in range(0, len(keys), _REWRITTEN_AT_ONCE):
            async with self._database.begin() as transaction:
                connection = raw(transaction)
                await own_contents(connection)
                part = {"keys": uuid_array_text(keys[start : start + _REWRITTEN_AT_ONCE])}
                rows = await (await connection.execute(_READ.encode(), part)).fetchall()
                changes = [change for row in rows if (change := _without(row, gone)) is not None]
                async with connection.cursor() as cursor:
                    await cursor.executemany(_REWRITE.encode(), changes)
                count += len(changes)
        return count


def _without(row: tuple[Any, ...], gone: Collection[Pair]) -> Mapping[str, object] | None:
    key, user_id, identifiers, metadata = row
    pairs = [(kind, value) for kind, value in identifiers or ()]
    removed = [pair for pair in pairs if pair in gone]
    if not removed:
        return None
    values = [value for _, value in removed]
    user_ids = [value for kind, value in removed if kind == _USER_ID]
    kept = [pair for pair in pairs if pair not in gone]
    cleaned = None if metadata is None else without_values(metadata.encode(), values)
    return {
        "key": key,
        "user_id": None if user_id is None or user_id.strip() in user_ids else user_id,
        "identifiers": msgspec.json.encode(kept).decode() if kept else None,
        "metadata": None if cleaned is None else cleaned.decode(),
    }
