"""Knows by which rules the stored keys were made, and finds the key under which a value is stored.

While keys that were made by other rules are stored, every value whose key is another one by these is looked up by
both. `renormalise` ends that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_chassis.database import Database, raw
from dmp_identity.adapters import key_rules_store as store
from dmp_identity.domain.key_rules import StoredRules, key_rules, rules_to_register
from dmp_identity.domain.reading import Key, PolicyReader, Reading

_LOG: Final = logging.getLogger(__name__)
_LOOK_AGAIN_SECONDS: Final = 5.0


class KeysToReadAgainError(Exception):
    """Keys are stored that were made by other rules."""


class KnownKeyRules:
    """Tells a reader by which rules keys are stored, and stores the reader's own among them.

    `run` must be running: other processes may bring other rules, and `renormalise` ends the use of some.
    """

    def __init__(self, database: Database, reader: PolicyReader) -> None:
        self._database = database
        self._reader = reader
        self._known = False
        self._open: list[str] = []
        self._looking = asyncio.Lock()

    async def ready(self) -> None:
        """Returns once the rules are known, at once if they are. Raises what the database raises."""
        if not self._known:
            async with self._looking:
                if not self._known:
                    await self._look()

    async def run(self) -> None:
        """Looks again every few seconds until cancelled."""
        while True:
            try:
                await self._look()
            except Exception:  # noqa: BLE001  # what is known stays; the database's health is told elsewhere
                _LOG.debug("the rules of stored keys cannot be read now")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def check(self) -> None:
        """Returns if all stored keys were made by the policy's rules as far as is known, else raises
        KeysToReadAgainError.
        """
        if self._open:
            raise KeysToReadAgainError(
                f"keys of {', '.join(self._open)} are stored by other rules than the policy's: run `renormalise`"
            )

    async def _look(self) -> None:
        policy = self._reader.policy
        async with self._database.begin() as transaction:
            stored = await ensure_rules(raw(transaction), self._reader)
        rules = key_rules(policy, stored)
        self._reader.use(rules)
        self._known = True
        found = [name for name, of_type in rules.items() if of_type.in_use]
        if found != self._open:
            if found:
                _LOG.warning(
                    "keys are stored by other rules than the policy's: run renormalise", extra={"types": found}
                )
            else:
                _LOG.info("all keys are stored by the policy's rules")
            self._open = found


async def ensure_rules(connection: psycopg.AsyncConnection[Any], reader: PolicyReader) -> list[StoredRules]:
    """All stored rules, after the reader's own were stored among them if they were not."""
    policy = reader.policy
    stored = await store.load_rules(connection)
    if not rules_to_register(policy, stored, ()):
        return stored
    await store.hold_rules(connection)
    stored = await store.load_rules(connection)
    types = await store.types_with_keys(connection, list(policy.types))
    await store.store_rules(connection, rules_to_register(policy, stored, types))
    return await store.load_rules(connection)


async def as_stored(
    connection: psycopg.AsyncConnection[Any], reader: PolicyReader, readings: Sequence[list[Reading]]
) -> Sequence[list[Reading]]:
    """The readings, those with the key under which they are stored whose key is another one by other rules in use.

    Of several stored ones the oldest rules' counts: whoever is known stays who it was. The caller's transaction holds
    off the moving of keys. Costs nothing while no other rules are in use.
    """
    if not reader.reads_several:
        return readings
    candidates = {
        candidate
        for of_one in readings
        for reading in of_one
        if reading.former
        for candidate in _candidates(reader, reading)
    }
    if not candidates:
        return readings
    stored = await store.stored_among(connection, sorted(candidates))
    return [[_as_stored(reader, reading, stored) for reading in of_one] for of_one in readings]


async def one_as_stored(connection: psycopg.AsyncConnection[Any], reader: PolicyReader, reading: Reading) -> Reading:
    """The reading with the key under which it is stored."""
    return (await as_stored(connection, reader, [[reading]]))[0][0]


def _candidates(reader: PolicyReader, reading: Reading) -> Iterable[tuple[int, Key]]:
    in_use = reader.in_use(reading.key[0])
    former = [one for one in reading.former if one[0] in in_use]
    return sorted([(reading.rules, reading.key), *former]) if former else []


def _as_stored(reader: PolicyReader, reading: Reading, stored: set[tuple[int, Key]]) -> Reading:
    if reading.former:
        for number, key in _candidates(reader, reading):
            if (number, key) in stored:
                return msgspec.structs.replace(reading, key=key, rules=number)
    return reading
