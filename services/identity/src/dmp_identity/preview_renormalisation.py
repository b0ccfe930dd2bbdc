"""Says what reading stored values again would change, without changing anything but the review list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_chassis.database import Database, raw
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters import respelling_links as links
from dmp_identity.adapters import respelling_store as store
from dmp_identity.adapters.profile_reads import find_profiles
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.plan import Refusal
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.domain.respelling import StoredIdentifier, new_value, respell, value_of
from dmp_identity.renormalise_keys import ANNOUNCEMENTS, load_rules, types_to_read
from dmp_identity.respell_identifiers import CAUSE, announce

_PAGE: Final = 1000
_FIRST: Final = ("", -(2**63))
_MOST_ANNOUNCED: Final = 10_000
_SHOWN: Final = 100


class Preview(msgspec.Struct):
    """What a run would do. types: those that would be read again. read: identifiers whose rules are others, strong and
    weak. moved: those that would get another key. joined: those that would become part of another one.

    merges, splits: pairs of people, of which the first hundred are listed with the value that makes them one, or two:
    `would_merge`, `would_split`. All of them, up to 10,000, are on the review list under these rules.
    """

    types: list[str] = []
    read: int = 0
    moved: int = 0
    joined: int = 0
    merges: int = 0
    splits: int = 0
    would_merge: list[list[str]] = []
    would_split: list[list[str]] = []


async def preview_renormalisation(
    database: Database, parser: IdentifierParser, *, clock_us: Callable[[], int]
) -> Preview:
    """Looks at everything in pages. Memory: a kilobyte or so for each identifier that would get another key."""
    preview, found = Preview(), list[Refusal]()
    preview.types = types_to_read(parser, await load_rules(database, parser))
    run = uuid7_text()
    for name in preview.types:
        for rule, pairs in (
            (RefusalReason.WOULD_MERGE, await _merges(database, parser, name, preview)),
            (RefusalReason.WOULD_SPLIT, await _splits(database, parser, name)),
        ):
            found += [
                Refusal(rule=rule, key=(name, value), profile=one, other=other, ref=run, source=CAUSE)
                for one, other, value in pairs
            ]
        await _count_links(database, parser, name, preview)
    async with database.begin() as transaction:
        connection = raw(transaction)
        for name in preview.types:
            await links.drop_announced(connection, ANNOUNCEMENTS, name)
        await announce(connection, found[:_MOST_ANNOUNCED], now_us=clock_us())
    for rule, listed in (
        (RefusalReason.WOULD_MERGE, preview.would_merge),
        (RefusalReason.WOULD_SPLIT, preview.would_split),
    ):
        of_rule = [one for one in found if one.rule is rule]
        listed += [[public_id(one.profile), public_id(one.other), ":".join(one.key)] for one in of_rule[:_SHOWN]]
    preview.merges = sum(one.rule is RefusalReason.WOULD_MERGE for one in found)
    preview.splits = len(found) - preview.merges
    return preview


async def _merges(
    database: Database, parser: IdentifierParser, name: str, preview: Preview
) -> list[tuple[int, int, str]]:
    """Two profiles of different people and the value that would make them one."""
    rows: dict[str, StoredIdentifier] = {}
    after = ""
    async with database.read() as transaction:
        connection = raw(transaction)
        while page := await store.identifier_page(connection, name, after, _PAGE):
            after = page[-1].value
            old = [one for one in page if one.rules != parser.number(name)]
            moving = {one.value: one for one in old if value_of(parser, one) != one.value}
            preview.read += len(old)
            rows.update(moving)
            there = await store.identifiers_with(connection, name, [value_of(parser, one) for one in moving.values()])
            rows.update({one.value: one for one in there})
        respelling = respell(rows.values(), lambda one: value_of(parser, one))
        preview.moved += len(respelling.moved)
        preview.joined += len(respelling.joined)
        pairs = [
            (joined.kept.profile, joined.gone.profile, joined.value)
            for joined in respelling.joined
            if joined.kept.shared_at_us is None and joined.gone.shared_at_us is None
        ]
        return await _of_different_people(connection, pairs)


async def _splits(database: Database, parser: IdentifierParser, name: str) -> list[tuple[int, int, str]]:
    """Two profiles of one person and the value that would not make them one any more."""
    pairs, after = [], _FIRST
    async with database.read() as transaction:
        connection = raw(transaction)
        while page := await store.former_page(connection, name, after, _PAGE):
            after = (page[-1].identifier.value, page[-1].identifier.profile)
            for former in page:
                one = former.identifier
                if former.merge_id is None or (new_value(parser, name, one.shown) or one.value) == former.part_of:
                    continue
                there = await store.identifiers_with(connection, name, [former.part_of])
                pairs += [(kept.profile, one.profile, former.part_of) for kept in there]
    return pairs


async def _count_links(database: Database, parser: IdentifierParser, name: str, preview: Preview) -> None:
    after = _FIRST
    async with database.read() as transaction:
        while page := await links.link_page(raw(transaction), name, after, _PAGE):
            after = (page[-1].value, page[-1].profile)
            old = [one for one in page if one.rules != parser.number(name)]
            preview.read += len(old)
            preview.moved += sum((new_value(parser, name, one.shown) or one.value) != one.value for one in old)


async def _of_different_people(
    connection: psycopg.AsyncConnection[Any], pairs: Sequence[tuple[int, int, str]]
) -> list[tuple[int, int, str]]:
    different: list[tuple[int, int, str]] = []
    for start in range(0, len(pairs), _PAGE):
        part = pairs[start : start + _PAGE]
        people = await find_profiles(connection, list(_profiles(part)))
        different += [pair for pair in part if people[pair[0]].root != people[pair[1]].root]
    return different


def _profiles(pairs: Sequence[tuple[int, int, str]]) -> Iterable[int]:
    for one, other, _ in pairs:
        yield one
        yield other
