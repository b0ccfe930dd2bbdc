"""Erases a person: identity's data first, then their values in the log's events, then a last sweep.

Every step is durable and may be taken again, so a crash at any point only delays. Events that were accepted before the
erasure and reach identity after it are remembered there; the last sweep waits until none can come any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from dmp_chassis.errors import InvalidArgument
from dmp_chassis.outages import outage
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.adapters.erasures import Erasures
from dmp_ingest.adapters.known_users import KnownUsers
from dmp_ingest.adapters.log_cleaning import LogCleaner
from dmp_ingest.adapters.people import People
from dmp_ingest.domain.erasure import Erased, Erasure, ListedEvent, Whom
from dmp_ingest.domain.errors import CannotAskError, ErasureNotFoundError, UserNotFoundError
from dmp_ingest.domain.event_key import event_keys

_LOG: Final = logging.getLogger(__name__)
_SWEEP_SECONDS: Final = 2.0
_CALL_SECONDS: Final = 3.0
_TURN_SECONDS: Final = 5.0
_LEASE_SECONDS: Final = 60.0
_USER_ID: Final = "user_id"
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 300.0
_BREATH: Final = 0.5
"""Of the time that a step took, a pause after it: whoever is not erased has the larger part of the databases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where a person has to be erased.

    settled_seconds: after so long every commit that had begun before an erasure has ended.
    """

    erasures: Erasures
    people: People
    users: KnownUsers
    log: LogCleaner
    settled_seconds: float


async def preview_erasure(whom: Whom, *, people: People) -> Erased:
    """What an erasure would take. Raises UserNotFoundError, CannotAskError."""
    return await people.preview(whom)


async def erase_user(whom: Whom, *, stores: Stores) -> Erasure:
    """Erases a person as far as is possible within three seconds; `sweep_loop` does the rest.

    Raises UserNotFoundError, InvalidArgument, CannotAskError. A call while an erasure of the same words is under way
    goes on with that one.
    """
    erasures = stores.erasures
    erasure = await erasures.find_open(whom)
    if erasure is None:
        erasure = await erasures.add(uuid7_text(), whom, lease_seconds=_LEASE_SECONDS)
    try:
        await _advance(erasure, stores, seconds=_CALL_SECONDS)
    except (UserNotFoundError, InvalidArgument):
        await erasures.forget(erasure.erasure_id)
        raise
    finally:
        await erasures.put_back(erasure.erasure_id, pause_seconds=0.0)
    return await find_erasure(erasure.erasure_id, erasures=erasures)


async def find_erasure(erasure_id: str, *, erasures: Erasures) -> Erasure:
    """The erasure as it is now. Raises ErasureNotFoundError."""
    erasure = await erasures.find(erasure_id)
    if erasure is None:
        raise ErasureNotFoundError(erasure_id=erasure_id)
    return erasure


async def sweep_loop(*, stores: Stores) -> None:
    """Brings open erasures to their end, until cancelled. They take turns; one that cannot go on waits by itself."""
    while True:
        try:
            while (erasure := await stores.erasures.take_due(lease_seconds=_LEASE_SECONDS)) is not None:
                await _take_turn(erasure, stores)
        except Exception as error:
            if outage(error) is None:
                raise
            _LOG.warning("erasures wait for the database")
        await asyncio.sleep(_SWEEP_SECONDS)


async def _take_turn(erasure: Erasure, stores: Stores) -> None:
    erasures, erasure_id = stores.erasures, erasure.erasure_id
    try:
        settled = await _advance(erasure, stores, seconds=_TURN_SECONDS)
        await erasures.put_back(erasure_id, pause_seconds=_SWEEP_SECONDS if settled else 0.0)
        return
    except (UserNotFoundError, InvalidArgument):
        await erasures.forget(erasure_id)
        return
    except CannotAskError as error:
        _LOG.warning("an erasure waits", extra={"erasure_id": erasure_id, "for": error.service})
    except Exception as error:
        if outage(error) is not None:
            raise
        # One erasure that cannot go on must hold up neither the others nor the service.
        _LOG.error("an erasure cannot go on", extra={"erasure_id": erasure_id, "error": type(error).__name__})
    await erasures.put_off(erasure_id, first_seconds=_FIRST_PAUSE_SECONDS, longest_seconds=_LONGEST_PAUSE_SECONDS)


async def _advance(erasure: Erasure, stores: Stores, *, seconds: float) -> bool:
    """Goes on for about so long; whether everything that is known is done by then."""
    until, erasure_id = time.monotonic() + seconds, erasure.erasure_id
    settled_before = erasure.erased is not None and erasure.erased.finished
    while True:
        begun = time.monotonic()
        erased, user_ids = await stores.people.erase(erasure_id, erasure.whom)
        await stores.erasures.note_erased(erasure_id, erased)
        # Asked before the list is read: what comes later than the last batch is on no list.
        late = await stores.erasures.may_still_arrive(erasure_id, settled_seconds=stores.settled_seconds)
        listed = await stores.people.listed_events(erasure_id)
        if listed:
            await stores.erasures.add_cleaned(erasure_id, await _clean(erasure_id, listed, user_ids, stores))
            await stores.people.forget_events(erasure_id, [event.event_id for event in listed])
        elif erased.finished:
            # Once when the person's events have gone, and once more when no batch can bring an id back.
            if not late or not settled_before:
                await stores.users.forget(user_ids)
            if not late:
                await stores.people.confirm(erasure_id)
                await stores.erasures.complete(erasure_id)
            return True
        now = time.monotonic()
        if now > until:
            return False
        await asyncio.sleep((now - begun) * _BREATH)


async def _clean(erasure_id: str, listed: list[ListedEvent], user_ids: list[str], stores: Stores) -> int:
    """Cleans events: all personal fields of the person's own, and of others' events the person's values.

    Other spellings of the person's user ids than those given are told to stats before they go.
    """
    keys = event_keys([event.event_id for event in listed])
    own = [key for event, key in zip(listed, keys, strict=True) if not event.of_others]
    others = [key for event, key in zip(listed, keys, strict=True) if event.of_others]
    shown = await stores.log.shown(keys)
    of_others = {key: shown[key] for key in others if key in shown}
    pairs = {pair for of_event in of_others.values() for pair in of_event}
    known = set(user_ids)
    pairs.update(pair for key in own for pair in shown.get(key, ()) if pair[0] == _USER_ID and pair[1] not in known)
    gone = await stores.people.erased_among(erasure_id, pairs) if pairs else set()
    if spellings := sorted({value for kind, value in gone if kind == _USER_ID} - known):
        await stores.users.forget(spellings)
    count = await stores.log.clean(own)
    touched = [key for key, of_event in of_others.items() if not gone.isdisjoint(of_event)]
    return count + await stores.log.take_out(touched, gone)
