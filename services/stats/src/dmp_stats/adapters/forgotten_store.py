"""Users whom the sliding window has forgotten: their ids go from stored batches, and replicas hear of it.

Ids are replaced by made-up names, so that every event is still counted, as one of an unknown user.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.domain.user_activity import pack_activity, unpack_activity

_FIND: Final = b"""
SELECT seq, sightings FROM window_batch
WHERE EXISTS (SELECT FROM unnest(%s::bytea[]) AS k (name) WHERE position(k.name IN sightings) > 0)
ORDER BY seq FOR UPDATE
"""
_CHANGE: Final = b"UPDATE window_batch SET sightings = %s WHERE seq = %s"
_ADD: Final = b"INSERT INTO forgotten_user (salt, digests, names) VALUES (%s, %s, %s)"
_SINCE: Final = b"SELECT seq, salt, digests, names FROM forgotten_user WHERE seq > %s ORDER BY seq"
_PRUNE: Final = b"DELETE FROM forgotten_user WHERE forgotten_at < to_timestamp(%s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """Users to forget."""

    seq: int
    """The number of this erasure of users; later ones have higher numbers."""
    salt: bytes
    names: Mapping[bytes, str]
    """By the digest of a user id with the salt, the name that stands for it from now on."""

    def name_for(self, user_id: str) -> str | None:
        """The name that stands for the user, None if the user is not to be forgotten."""
        return self.names.get(_digest(self.salt, user_id))


async def forget(connection: AsyncConnection, user_ids: Collection[str]) -> int:
    """Takes users out of the stored batches and tells the replicas; how many batches had them.

    The caller holds the lock of writers, so numbers become visible in their order. It reads every batch of the window.
    """
    names = {user_id: f"erased-{uuid.uuid4().hex}" for user_id in user_ids}
    psycopg = raw(connection)
    cursor = await psycopg.execute(_FIND, ([user_id.encode() for user_id in user_ids],), binary=True)
    changed = 0
    for seq, payload in await cursor.fetchall():
        activity = unpack_activity(payload)
        renamed = [names.get(user_id, user_id) for user_id in activity.user_ids]
        if renamed != list(activity.user_ids):
            await psycopg.execute(_CHANGE, (pack_activity(replace(activity, user_ids=renamed)), seq))
            changed += 1
    salt = secrets.token_bytes(16)
    await psycopg.execute(_ADD, (salt, [_digest(salt, user_id) for user_id in names], list(names.values())))
    return changed


async def since(connection: AsyncConnection, seq: int) -> Sequence[Forgotten]:
    """Whom to forget after that number, in order."""
    cursor = await raw(connection).execute(_SINCE, (seq,))
    return [
        Forgotten(seq=row[0], salt=bytes(row[1]), names=dict(zip(map(bytes, row[2]), row[3], strict=True)))
        for row in await cursor.fetchall()
    ]


async def prune(connection: AsyncConnection, *, before_second: float) -> None:
    """Removes what was noted before that second since 1970 UTC: no window reaches back so far."""
    await raw(connection).execute(_PRUNE, (before_second,))


def _digest(salt: bytes, user_id: str) -> bytes:
    return hashlib.sha256(salt + user_id.encode()).digest()
