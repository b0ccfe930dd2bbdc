"""Salted digests of erased identifiers. They are pseudonymous, not anonymous: who holds the database, where the salt
is too, can try whether a given value was erased.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from dmp_identity.domain.parsed_identifier import Key

Connection = psycopg.AsyncConnection[Any]


async def add_digests(
    connection: Connection, erasure_id: str, erased_at_us: int, keys: Iterable[Key], *, strong: bool
) -> None:
    """Remembers that these identifiers were erased."""
    salt = await _salt(connection)
    await connection.execute(
        "INSERT INTO erased_identifier (digest, erasure_id, erased_at_us, strong)"
        " SELECT DISTINCT k.digest, %s::uuid, %s::bigint, %s::boolean FROM unnest(%s::bytea[]) AS k (digest)"
        " ON CONFLICT DO NOTHING",
        (erasure_id, erased_at_us, strong, [_digest(salt, (kind, value)) for kind, value in keys]),
    )


async def erased_keys(connection: Connection, keys: Sequence[Key], accepted_at_us: int) -> dict[Key, str]:
    """Identifiers among these that were erased after the time given -> the erasure."""
    salt = await _salt(connection)
    digests = {_digest(salt, key): key for key in keys}
    cursor = await connection.execute(
        "SELECT digest, erasure_id::text FROM erased_identifier WHERE digest = ANY(%s) AND erased_at_us > %s"
        " ORDER BY erased_at_us",
        (list(digests), accepted_at_us),
    )
    return {digests[bytes(row[0])]: row[1] for row in await cursor.fetchall()}


async def keys_of_erasure(connection: Connection, erasure_id: str, keys: Sequence[Key]) -> set[Key]:
    """The strong identifiers among these that this erasure has erased."""
    salt = await _salt(connection)
    digests = {_digest(salt, key): key for key in keys}
    cursor = await connection.execute(
        "SELECT digest FROM erased_identifier WHERE digest = ANY(%s) AND erasure_id = %s AND strong",
        (list(digests), erasure_id),
    )
    return {digests[bytes(row[0])] for row in await cursor.fetchall()}


async def _salt(connection: Connection) -> str:
    cursor = await connection.execute("SELECT salt FROM erasure_salt")
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


def _digest(salt: str, key: Key) -> bytes:
    return hashlib.sha256(f"{salt}\0{key[0]}\0{key[1]}".encode()).digest()
