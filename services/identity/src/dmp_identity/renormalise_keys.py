"""Reads all stored values again whose keys were made by other rules than the policy's, while the service runs.

Everything is done in slices, each a transaction that holds off everybody else for some milliseconds, and only if keys
change. It can be stopped at any moment and started again: what is done carries the number of its rules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from dmp_chassis.actions import OPERATOR, Action, record
from dmp_chassis.database import Database, raw
from dmp_chassis.instants import instant_from_us
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters import key_rules_store as rules_store
from dmp_identity.adapters import respelling_links as links
from dmp_identity.adapters import respelling_store as store
from dmp_identity.adapters.graph_locks import lock_merges, own_graph
from dmp_identity.adapters.respelling_store import Move
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.key_rules import StoredRules, key_rules
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.domain.respelling import new_value, value_of
from dmp_identity.know_key_rules import ensure_rules
from dmp_identity.respell_identifiers import RULES, IdentifierRespeller

_Row = TypeVar("_Row")
_Position = TypeVar("_Position")
_LOG: Final = logging.getLogger(__name__)
_PAGE: Final = 1000
_SLICE: Final = 100
_MOST_PASSES: Final = 20
_FIRST: Final = ("", -(2**63))
ANNOUNCEMENTS: Final = (RefusalReason.WOULD_MERGE.value, RefusalReason.WOULD_SPLIT.value)


class RenormalisationRunningError(Exception):
    """Another process reads the stored values again at the moment."""


class Renormalised(msgspec.Struct):
    """What was done. run: the id of the work: `ref` of the merges that it made.

    types: those that were read again. read: identifiers whose rules were others. moved: those that got another key.
    joined: those that became part of another one. parted: those that stopped being so. merges, undone: of people.
    finished: False if other processes still make keys by other rules, so that it has to be run again.
    """

    run: str
    types: list[str] = []
    read: int = 0
    moved: int = 0
    joined: int = 0
    parted: int = 0
    merges: int = 0
    undone: int = 0
    finished: bool = False


class Renormalisation:
    """One run of the work, by a parser whose rules are stored."""

    def __init__(self, database: Database, parser: IdentifierParser, *, clock_us: Callable[[], int]) -> None:
        self._database = database
        self._parser = parser
        self._clock_us = clock_us
        self.done = Renormalised(run=uuid7_text())

    async def run(self) -> Renormalised:
        """Passes over everything until nothing is left to do, then ends the use of the other rules."""
        stored = await load_rules(self._database, self._parser)
        self.done.types = types_to_read(self._parser, stored)
        await self._record("begun")
        for _ in range(_MOST_PASSES):
            changes = 0
            for name in self.done.types:
                changes += await self._read_type(name)
            if not changes:
                self.done.finished = await self._finish()
                break
        if not self.done.finished:
            await self._record("unfinished")
        return self.done

    async def _record(self, result: str) -> None:
        async with self._database.begin() as transaction:
            await record(raw(transaction), self._action(result))

    def _action(self, result: str) -> Action:
        done = self.done
        names = ("read", "moved", "joined", "parted", "merges", "undone")
        return Action(
            kind="renormalise",
            actor=OPERATOR,
            result=result,
            refs={"run": done.run, "types": ", ".join(done.types)},
            counts={name: getattr(done, name) for name in names if result != "begun"},
            acted_at=instant_from_us(self._clock_us()),
        )

    async def _read_type(self, name: str) -> int:
        kind = self._parser.policy.types[name]
        _LOG.info("reading stored values again", extra={"type": name, "rules": kind.normalise.text})
        changes = await self._identifiers(name) + await self._formers(name) + await self._links(name)
        await self._anonymous(name)
        await self._refusals(name)
        return changes

    async def _identifiers(self, name: str) -> int:
        parser, number, changes = self._parser, self._parser.number(name), 0
        async for page in self._pages(store.identifier_page, name, "", lambda one: one.value):
            old = [one for one in page if one.rules != number]
            moving = [one.value for one in old if value_of(parser, one) != one.value]
            same = {one.value: one.rules for one in old if value_of(parser, one) == one.value}
            if same:
                async with self._database.begin() as transaction:
                    await store.number_anew(raw(transaction), name, same, number)
            for start in range(0, len(moving), _SLICE):
                async with self._alone() as connection:
                    respeller = self._respeller()
                    respelling = await respeller.respell(connection, name, moving[start : start + _SLICE])
                self.done.moved += len(respelling.moved)
                self.done.joined += len(respelling.joined)
                self.done.merges += respeller.merged
            changes += len(old)
        self.done.read += changes
        return changes

    async def _formers(self, name: str) -> int:
        parser, parted = self._parser, 0
        async for page in self._pages(
            store.former_page, name, _FIRST, lambda one: (one.identifier.value, one.identifier.profile)
        ):
            for former in page:
                one = former.identifier
                if (new_value(parser, name, one.shown) or one.value) != former.part_of:
                    async with self._alone() as connection:
                        respeller = self._respeller()
                        parted += await respeller.part(connection, former)
                    self.done.merges += respeller.merged
                    self.done.undone += respeller.undone
        self.done.parted += parted
        return parted

    async def _links(self, name: str) -> int:
        parser, number, changes = self._parser, self._parser.number(name), 0
        async for page in self._pages(links.link_page, name, _FIRST, lambda one: (one.value, one.profile)):
            old = {one: new_value(parser, name, one.shown) or one.value for one in page if one.rules != number}
            same = [one for one, value in old.items() if value == one.value]
            if same:
                async with self._database.begin() as transaction:
                    await links.number_links_anew(raw(transaction), same, number)
            moving = {one: value for one, value in old.items() if value != one.value}
            if moving:
                async with self._alone() as connection:
                    await links.move_links(connection, moving, number)
            self.done.moved += len(moving)
            changes += len(old)
        self.done.read += changes
        return changes

    async def _anonymous(self, name: str) -> None:
        async for page in self._pages(links.anonymous_page, name, "", str):
            moving = self._moving(name, page)
            if moving:
                async with self._alone() as connection:
                    await links.move_anonymous(connection, name, moving)

    async def _refusals(self, name: str) -> None:
        for rule in RULES:
            async for page in self._pages(partial(links.refused_values_page, rule=rule), name, "", str):
                moves = [Move(type=name, old=old, new=new, profile=0) for old, new in self._moving(name, page).items()]
                if moves:
                    async with self._alone() as connection:
                        await store.follow_in_review(connection, moves, [rule])

    def _moving(self, name: str, values: Sequence[str]) -> dict[str, str]:
        """Values of which nothing but the key is stored, with the keys that these get."""
        return {
            value: new for value in values if (new := new_value(self._parser, name, value)) is not None and new != value
        }

    async def _finish(self) -> bool:
        async with self._database.begin() as transaction:
            connection = raw(transaction)
            for name in self.done.types:
                await links.drop_announced(connection, ANNOUNCEMENTS, name)
            if await rules_store.other_rules_running(connection, self._parser.policy):
                return False
            await rules_store.hold_rules(connection)
            ended = [
                msgspec.structs.replace(rules, in_use=False)
                for rules in await rules_store.load_rules(connection)
                if rules.type in self.done.types and rules.number != self._parser.number(rules.type)
            ]
            await rules_store.store_rules(connection, ended)
            await record(connection, self._action("done"))
            return True

    def _respeller(self) -> IdentifierRespeller:
        return IdentifierRespeller(self._parser, self.done.run, now_us=self._clock_us())

    async def _pages(
        self,
        read: Callable[[psycopg.AsyncConnection[Any], str, _Position, int], Awaitable[list[_Row]]],
        name: str,
        first: _Position,
        position: Callable[[_Row], _Position],
    ) -> AsyncIterator[list[_Row]]:
        """Everything of a type in pages, each read by itself."""
        after = first
        while True:
            async with self._database.read() as transaction:
                page = await read(raw(transaction), name, after, _PAGE)
            if not page:
                return
            after = position(page[-1])
            yield page

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A transaction that holds off everybody who reads the graph to write. Afterwards it gives the others as much
        time as it took.
        """
        started = time.monotonic()
        async with self._database.begin() as transaction:
            connection = raw(transaction)
            await own_graph(connection)
            await lock_merges(connection)
            yield connection
        await asyncio.sleep(time.monotonic() - started)


async def load_rules(database: Database, parser: IdentifierParser) -> list[StoredRules]:
    """All stored rules, the parser's own among them, which it uses from now on."""
    async with database.begin() as transaction:
        stored = await ensure_rules(raw(transaction), parser)
    parser.use(key_rules(parser.policy, stored))
    return stored


def types_to_read(parser: IdentifierParser, stored: Sequence[StoredRules]) -> list[str]:
    """Types of the policy of which keys were ever made by other rules."""
    return [
        name
        for name in parser.policy.types
        if any(rules.type == name and rules.number != parser.number(name) for rules in stored)
    ]
