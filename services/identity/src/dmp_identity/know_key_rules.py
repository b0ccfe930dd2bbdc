"""Knows by which rules the stored keys were made, and finds the key under which a value is stored.

While keys that were made by other rules are stored, every value whose key is another one by these is looked up by
both. `renormalise` ends that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_chassis.database import Database, raw
from dmp_identity.adapters import key_rules_store as store
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.key_rules import StoredRules, key_rules, rules_to_register
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier

_LOG: Final = logging.getLogger(__name__)
_LOOK_AGAIN_SECONDS: Final = 5.0


class KeysToReadAgainError(Exception):
    """Keys are stored that were made by other rules."""


class KnownKeyRules:
    """Tells a parser by which rules keys are stored, and stores the parser's own among them.

    `run` must be running: other processes may bring other rules, and `renormalise` ends the use of some.
    """

    def __init__(self, database: Database, parser: IdentifierParser) -> None:
        self._database = database
        self._parser = parser
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
        policy = self._parser.policy
        async with self._database.begin() as transaction:
            stored = await ensure_rules(raw(transaction), self._parser)
        rules = key_rules(policy, stored)
        self._parser.use(rules)
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


async def ensure_rules(connection: psycopg.AsyncConnection[Any], parser: IdentifierParser) -> list[StoredRules]:
    """All stored rules, after the parser's own were stored among them if they were not."""
    policy = parser.policy
    stored = await store.load_rules(connection)
    if not rules_to_register(policy, stored, ()):
        return stored
    await store.hold_rules(connection)
    stored = await store.load_rules(connection)
    types = await store.types_with_keys(connection, list(policy.types))
    await store.store_rules(connection, rules_to_register(policy, stored, types))
    return await store.load_rules(connection)


async def as_stored(
    connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, identifiers: Sequence[list[ParsedIdentifier]]
) -> Sequence[list[ParsedIdentifier]]:
    """The identifiers, each with the key under which it is stored: by the policy's rules or, if it was stored before,
    by other rules that are still in use.

    If it is stored under several keys, the one by the oldest rules counts, so that whoever is known stays who they
    were.
    The caller's transaction keeps `renormalise` from moving keys meanwhile. Costs nothing while no other rules are in
    use.
    """
    in_use = parser.other_rules_in_use
    if not in_use:
        return identifiers
    candidates = {
        candidate
        for of_one in identifiers
        for parsed in of_one
        if parsed.former
        for candidate in _candidates(parsed, in_use)
    }
    if not candidates:
        return identifiers
    stored = await store.stored_among(connection, sorted(candidates))
    return [[_as_stored(parsed, in_use, stored) for parsed in of_one] for of_one in identifiers]


async def one_as_stored(
    connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, parsed: ParsedIdentifier
) -> ParsedIdentifier:
    """The identifier with the key under which it is stored."""
    return (await as_stored(connection, parser, [[parsed]]))[0][0]


def _candidates(parsed: ParsedIdentifier, in_use: Mapping[str, frozenset[int]]) -> list[tuple[int, Key]]:
    """The keys under which the identifier may be stored, each with the number of its rules, the oldest first; empty if
    there is only the key that it has.
    """
    numbers = in_use.get(parsed.key[0], frozenset())
    former = [one for one in parsed.former if one[0] in numbers]
    return sorted([(parsed.rules, parsed.key), *former]) if former else []


def _as_stored(
    parsed: ParsedIdentifier, in_use: Mapping[str, frozenset[int]], stored: set[tuple[int, Key]]
) -> ParsedIdentifier:
    if parsed.former:
        for number, key in _candidates(parsed, in_use):
            if (number, key) in stored:
                return msgspec.structs.replace(parsed, key=key, rules=number)
    return parsed
