"""Erases a person: makes them unknown at once, takes the rest away in slices, and names the events to clean in the log.

Whoever is responsible for the erasure calls with the same id, again after a crash: `erase_person` until it is finished;
in between, `list_erased_events`, cleaning the log, and `forget_erased_events`; in the end `confirm_erasure`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import psycopg

from dmp_chassis.actions import remove_reasons
from dmp_chassis.database import Database, raw, retrying
from dmp_chassis.page_token import position_of, token_of
from dmp_chassis.slices import Slices
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.adapters import erasure_events as listed
from dmp_identity.adapters.contact_store import clear_contact_values
from dmp_identity.adapters.erasure_digests import keys_of_erasure
from dmp_identity.adapters.erasure_links import slice_of_links
from dmp_identity.adapters.erasure_profiles import erased_texts, erased_values, is_refused_somewhere, take_out
from dmp_identity.adapters.erasure_reasons import remove_reasons_of_acts
from dmp_identity.adapters.erasure_receipts import Counts, Receipt, count_erasure, find_receipt, note_progress
from dmp_identity.adapters.erasure_refusals import slice_of_refusals
from dmp_identity.adapters.erasure_timelines import slice_of_timeline
from dmp_identity.adapters.graph_locks import lock_merges, own_graph
from dmp_identity.adapters.profile_reads import find_root, members_of, owner_of
from dmp_identity.domain.errors import ErasureNotFoundError, ProfileNotFoundError
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import page_size_violations, profile_id_asked_for, token_violation

MOST_EVENTS: Final = 10_000
MOST_PAIRS: Final = 100_000
_WORKING_SECONDS: Final = 0.5
_USER_ID: Final = "user_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """Whom to erase: any id of the person, or an identifier of theirs."""

    internal_user_id: str = ""
    identifier: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedPerson:
    """How far an erasure is. user_ids: the person's own, until the erasure is confirmed."""

    receipt: Receipt
    already_erased: bool
    user_ids: list[str]


async def preview_erasure(database: Database, parser: IdentifierParser, whom: Erasing) -> tuple[list[int], Counts]:
    """The person's profiles and how much there is about them. Raises InvalidArgument, ProfileNotFoundError.

    It counts the timeline: about a second for ten million entries.
    """
    async with database.read() as transaction:
        connection = raw(transaction)
        members, _ = await _whom(connection, parser, whom)
        return members, await count_erasure(connection, members)


async def erase_person(
    database: Database, parser: IdentifierParser, *, erasure_id: str, whom: Erasing, clock_us: Callable[[], int]
) -> ErasedPerson:
    """Makes the person unknown, the first time, and then works for half a second: call it until it is finished.

    Raises InvalidArgument, ProfileNotFoundError.
    """
    wanted = _checked_id(erasure_id)
    remembered = {name for name, kind in parser.policy.types.items() if kind.attributing and not kind.strong}

    async def first() -> tuple[Receipt, bool]:
        async with database.begin() as transaction:
            connection = raw(transaction)
            receipt = await find_receipt(connection, wanted)
            if receipt is not None:
                return receipt, True
            await own_graph(connection)
            receipt = await find_receipt(connection, wanted)
            if receipt is not None:
                return receipt, True
            await lock_merges(connection)
            members, keys = await _whom(connection, parser, whom)
            receipt = Receipt(
                id=wanted,
                profiles=members,
                counts=await count_erasure(connection, members, whole=False),
                erased_at_us=clock_us(),
                confirmed=False,
                finished=False,
            )
            links = await take_out(connection, receipt, remembered_types=remembered, keys=keys)
            await clear_contact_values(connection, wanted, parser.compared)
            receipt = _with(receipt, identifiers=links)
            await note_progress(connection, receipt, finished_at_us=None)
            return receipt, False

    receipt, already_erased = await retrying(first)
    receipt = await _work(database, receipt, remembered, clock_us)
    async with database.read() as transaction:
        user_ids = await erased_values(raw(transaction), wanted, _USER_ID)
    return ErasedPerson(receipt=receipt, already_erased=already_erased, user_ids=user_ids)


async def _work(database: Database, receipt: Receipt, remembered: set[str], clock_us: Callable[[], int]) -> Receipt:
    """Takes slices of the work that is left for half a second, or until the caller has a page of events to clean."""
    slices, until, events = Slices(), time.monotonic() + _WORKING_SECONDS, 0
    while not receipt.finished and events < MOST_EVENTS and (begun := time.monotonic()) < until:
        limit = min(slices.rows, MOST_EVENTS - events)
        found, receipt = await retrying(partial(_slice, database, receipt.id, remembered, clock_us, limit))
        events += found
        await asyncio.sleep(slices.took(limit, time.monotonic() - begun))
    return receipt


async def _slice(
    database: Database, erasure_id: str, remembered: set[str], clock_us: Callable[[], int], limit: int
) -> tuple[int, Receipt]:
    """One transaction of the work that is left, up to `limit` rows: how many events it listed, and how far the erasure
    is then.
    """
    async with database.begin() as transaction:
        connection = raw(transaction)
        receipt = await find_receipt(connection, erasure_id, for_update=True)
        assert receipt is not None
        if receipt.finished:
            return 0, receipt
        events, finished_at_us = 0, None
        part = await slice_of_timeline(connection, erasure_id, limit)
        if part is not None:
            events, is_others = part
            receipt = receipt if is_others else _with(receipt, events=events)
        elif links := await slice_of_links(connection, receipt, limit, remembered_types=remembered):
            receipt = _with(receipt, identifiers=links)
        else:
            refusals, of_others = await slice_of_refusals(connection, receipt.profiles, limit)
            receipt = _with(receipt, refusals=refusals - of_others)
            if not refusals:
                finished_at_us = clock_us()
                receipt = msgspec.structs.replace(receipt, finished=True)
        await note_progress(connection, receipt, finished_at_us=finished_at_us)
        return events, receipt


async def list_erased_events(
    database: Database, *, erasure_id: str, page_size: int, page_token: str
) -> tuple[list[tuple[str, bool]], str]:
    """A page of event ids, each with whether it is somebody else's, and the token of the next one.

    Raises InvalidArgument, ErasureNotFoundError.
    """
    wanted = _checked_id(erasure_id)
    problems = page_size_violations(page_size)
    after = _place(page_token)
    if after is None:
        problems.append(token_violation())
    if problems or after is None:
        raise InvalidArgument(problems)
    limit = min(page_size or MOST_EVENTS, MOST_EVENTS)
    async with database.read() as transaction:
        connection = raw(transaction)
        await _known(connection, wanted)
        found = await listed.erased_events(connection, wanted, after, limit + 1)
    token = token_of(found[limit - 1].place) if len(found) > limit else ""
    return [(event.place.event_id, event.is_others) for event in found[:limit]], token


async def match_erased(
    database: Database, parser: IdentifierParser, *, erasure_id: str, pairs: Sequence[tuple[str, str]]
) -> list[int]:
    """The positions of the identifiers, given as sent, that the erasure has erased.

    Raises InvalidArgument, ErasureNotFoundError.
    """
    wanted = _checked_id(erasure_id)
    if len(pairs) > MOST_PAIRS:
        raise InvalidArgument([Violation("types", f"must have at most {MOST_PAIRS} elements")])
    keys = [_possible_keys(parser, kind, value) for kind, value in pairs]
    async with database.read() as transaction:
        connection = raw(transaction)
        await _known(connection, wanted)
        erased = await keys_of_erasure(connection, wanted, list(set().union(*keys)))
    return [number for number, of_pair in enumerate(keys) if not erased.isdisjoint(of_pair)]


def _possible_keys(parser: IdentifierParser, kind: str, value: str) -> set[Key]:
    """The keys that a value may have, whichever source sent it and by whichever rules it was stored."""
    known = parser.policy.types.get(kind)
    spaces = [] if known is None else [space for _, space in known.normalise.namespaces]
    identifiers = [parser.parse(kind, text) for text in (value, *(f"{space}:{value}" for space in spaces))]
    return {key for parsed in identifiers if parsed is not None for key in parsed.all_keys()}


async def forget_erased_events(database: Database, *, erasure_id: str, event_ids: Sequence[str]) -> int:
    """Takes events off the erasure's list; how many were on it. Raises InvalidArgument, ErasureNotFoundError."""
    wanted = _checked_id(erasure_id)
    if len(event_ids) > MOST_EVENTS:
        raise InvalidArgument([Violation("event_ids", f"must have at most {MOST_EVENTS} elements")])
    async with database.begin() as transaction:
        connection = raw(transaction)
        await _known(connection, wanted)
        return await listed.forget_these_events(connection, wanted, event_ids)


async def confirm_erasure(database: Database, *, erasure_id: str, clock_us: Callable[[], int]) -> int:
    """Forgets the erasure's events, the person's identifiers and the reasons of acts that name them, unless the
    erasure is not finished; how many events there were. Raises InvalidArgument, ErasureNotFoundError.
    """
    wanted = _checked_id(erasure_id)
    async with database.begin() as transaction:
        connection = raw(transaction)
        receipt = await _known(connection, wanted)
        if not receipt.finished:
            return 0
        subjects = [public_id(profile) for profile in receipt.profiles]
        acts = await remove_reasons(connection, subjects=subjects, texts=await erased_texts(connection, wanted))
        await remove_reasons_of_acts(connection, acts)
        return await listed.forget_events(connection, wanted, clock_us())


async def _whom(
    connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, whom: Erasing
) -> tuple[list[int], list[Key]]:
    """The person's profiles, or, if the identifier is nobody's but was refused somewhere, none and the identifier."""
    if not whom.identifier:
        return await _members(connection, profile_id_asked_for(whom.internal_user_id), whom.internal_user_id), []
    parsed = parser.parse(whom.identifier, whom.value)
    kind = parser.policy.types.get(whom.identifier)
    if kind is None or not kind.strong:
        raise InvalidArgument([Violation("identifier", "must be a strong type of the policy")])
    if parsed is None:
        raise InvalidArgument([Violation("value", "is required")])
    for key in parsed.all_keys():
        owner = await owner_of(connection, key)
        if owner is not None:
            return await _members(connection, owner, ""), []
    refused = [key for key in parsed.all_keys() if await is_refused_somewhere(connection, key)]
    if refused:
        return [], refused
    raise ProfileNotFoundError("")


async def _members(connection: psycopg.AsyncConnection[Any], profile_id: int, internal_user_id: str) -> list[int]:
    root = await find_root(connection, profile_id)
    if root is None:
        raise ProfileNotFoundError(internal_user_id)
    return await members_of(connection, root)


async def _known(connection: psycopg.AsyncConnection[Any], erasure_id: str) -> Receipt:
    receipt = await find_receipt(connection, erasure_id)
    if receipt is None:
        raise ErasureNotFoundError(erasure_id)
    return receipt


def _with(receipt: Receipt, *, identifiers: int = 0, refusals: int = 0, events: int = 0) -> Receipt:
    counts = receipt.counts
    more = msgspec.structs.replace(
        counts,
        identifiers=counts.identifiers + identifiers,
        refusals=counts.refusals + refusals,
        events=counts.events + events,
    )
    return msgspec.structs.replace(receipt, counts=more)


def _checked_id(erasure_id: str) -> str:
    try:
        return str(uuid.UUID(erasure_id))
    except ValueError:
        raise InvalidArgument([Violation("erasure_id", "must be a UUID")]) from None


def _place(token: str) -> listed.Place | None:
    """The place that a token stands for, the beginning of the list without one, None if it is no token."""
    place = position_of(token, listed.Place) if token else listed.Place()
    return None if place is None or not 0 <= place.page < 2**63 or "\0" in place.event_id else place
