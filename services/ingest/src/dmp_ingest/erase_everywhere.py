"""Erases a person: first what identity has, then the person's values in the events of the log, then a last sweep.

Every step is durable and may be repeated, so a crash only delays the erasure. Events that were accepted before the
erasure may reach identity after it; identity lists them. The last sweep waits until no such event can come any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dmp_chassis.actions import Asked
from dmp_chassis.outages import outage
from dmp_chassis.tracing import Noted, continued_span, span
from dmp_chassis.uuid7 import uuid7_text
from dmp_chassis.violations import InvalidArgument
from dmp_ingest.adapters.erasure_store import Erasures
from dmp_ingest.adapters.known_users import KnownUsers
from dmp_ingest.adapters.log_cleaning import LogCleaner
from dmp_ingest.adapters.people import People
from dmp_ingest.clean_events import EventCleaner
from dmp_ingest.domain.erasure_steps import Erased, Erasure, ErasureStep, Whom, next_step
from dmp_ingest.domain.errors import CannotAskError, ErasureNotFoundError, UserNotFoundError

_LOG: Final = logging.getLogger(__name__)
_SWEEP_SECONDS: Final = 2.0
_CALL_SECONDS: Final = 3.0
_TURN_SECONDS: Final = 5.0
_LEASE_SECONDS: Final = 60.0
_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where a person has to be erased."""

    erasures: Erasures
    """The erasures themselves, in ingest's database."""
    people: People
    """Identity."""
    users: KnownUsers
    """Stats."""
    log: LogCleaner
    """The event log."""
    completed: Callable[[], None]
    """Called when an erasure is complete."""
    settled_seconds: float
    """After this time, every commit that had begun before an erasure has ended."""
    traces: Noted = field(default_factory=Noted)
    """Of the open erasures that were asked for in this process, those that are traced."""


async def preview_erasure(whom: Whom, *, people: People) -> Erased:
    """What an erasure would erase. Raises UserNotFoundError, CannotAskError."""
    return await people.preview(whom)


async def erase_user(whom: Whom, *, asked: Asked, stores: Stores) -> Erasure:
    """Erases a person as far as possible within three seconds. `sweep_loop` does the rest.

    If an erasure of the same id or identifier is under way, the call goes on with that one, and is no act of its own.
    Raises UserNotFoundError, InvalidArgument, CannotAskError.
    """
    erasures = stores.erasures
    erasure = await erasures.find_open(whom)
    if erasure is None:
        erasure = await erasures.add(uuid7_text(), whom, asked=asked, lease_seconds=_LEASE_SECONDS)
        stores.traces.note(erasure.erasure_id)
    try:
        with span("erasure"):
            await _advance(erasure, stores, seconds=_CALL_SECONDS)
    except (UserNotFoundError, InvalidArgument):
        stores.traces.forget(erasure.erasure_id)
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
    """Continues open erasures until cancelled. They take turns; one that cannot go on waits and holds up no other."""
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
        with continued_span("erasure", stores.traces.of(erasure_id)):
            settled = await _advance(erasure, stores, seconds=_TURN_SECONDS)
        await erasures.put_back(erasure_id, pause_seconds=_SWEEP_SECONDS if settled else 0.0)
        return
    except (UserNotFoundError, InvalidArgument):
        stores.traces.forget(erasure_id)
        await erasures.forget(erasure_id)
        return
    except CannotAskError as error:
        _LOG.warning("an erasure waits", extra={"erasure_id": erasure_id, "for": error.service})
    except Exception as error:
        if outage(error) is not None:
            raise
        # An erasure that cannot go on must stop neither the others nor the service.
        _LOG.error("an erasure cannot go on", extra={"erasure_id": erasure_id, "error": type(error).__name__})
    await erasures.put_off(erasure_id, first_seconds=_FIRST_PAUSE_SECONDS, longest_seconds=_LONGEST_PAUSE_SECONDS)


async def _advance(erasure: Erasure, stores: Stores, *, seconds: float) -> bool:
    """Continues an erasure for about this time. Returns whether everything that is known of it is done."""
    until, erasure_id = time.monotonic() + seconds, erasure.erasure_id
    cleaner = EventCleaner(erasure_id, log=stores.log, people=stores.people, users=stores.users)
    finished_before = erasure.erased is not None and erasure.erased.finished
    while True:
        erased, user_ids = await stores.people.erase(erasure_id, erasure.whom)
        await stores.erasures.note_erased(erasure_id, erased)
        # This must be asked before the list is read: an event may be listed between the two.
        late = await stores.erasures.may_still_arrive(erasure_id, settled_seconds=stores.settled_seconds)
        listed = await stores.people.listed_events(erasure_id)
        step = next_step(
            events_are_listed=bool(listed),
            finished=erased.finished,
            finished_before=finished_before,
            may_still_arrive=late,
        )
        if step is ErasureStep.CLEAN_EVENTS:
            await stores.erasures.add_cleaned(erasure_id, await cleaner.clean(listed, user_ids))
            await stores.people.forget_events(erasure_id, [event.event_id for event in listed])
        elif step is not ErasureStep.ERASE_MORE:
            if step is not ErasureStep.WAIT:
                await stores.users.forget(user_ids)
            if step is ErasureStep.COMPLETE:
                await stores.people.confirm(erasure_id)
                await stores.erasures.complete(erasure_id)
                stores.traces.forget(erasure_id)
                stores.completed()
            return True
        if time.monotonic() > until:
            return False
