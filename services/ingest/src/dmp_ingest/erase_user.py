"""Erases a person: identity's data first, then the personal fields of their events in the log, then a last sweep.

Every step is durable and may be taken again, so a crash at any point only delays. Events that were accepted before the
erasure and reach identity after it are remembered there; the last sweep waits until none can come any more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from dmp_chassis.outages import outage
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.adapters.erasures import Erasures
from dmp_ingest.adapters.people import People
from dmp_ingest.domain.erasure import Erased, Erasure
from dmp_ingest.domain.errors import CannotAskError, ErasureNotFoundError, UserNotFoundError
from dmp_ingest.domain.event_key import event_keys

_LOG: Final = logging.getLogger(__name__)
_SWEEP_SECONDS: Final = 2.0


async def preview_erasure(internal_user_id: str, *, people: People) -> Erased:
    """What an erasure would take. Raises UserNotFoundError, CannotAskError."""
    return await people.preview(internal_user_id)


async def erase_user(internal_user_id: str, *, erasures: Erasures, people: People, settled_seconds: float) -> Erasure:
    """Erases a person as far as is possible at once; `sweep_loop` does the rest.

    Raises UserNotFoundError, CannotAskError. A call while an erasure of the same id is under way goes on with that one.
    """
    under_way = await erasures.find_open(internal_user_id)
    erasure = under_way[0] if under_way else await erasures.add(uuid7_text(), internal_user_id)
    try:
        return await _advance(erasure, erasures=erasures, people=people, settled_seconds=settled_seconds)
    except UserNotFoundError:
        await erasures.forget(erasure.erasure_id)
        raise


async def find_erasure(erasure_id: str, *, erasures: Erasures) -> Erasure:
    """The erasure as it is now. Raises ErasureNotFoundError."""
    erasure = await erasures.find(erasure_id)
    if erasure is None:
        raise ErasureNotFoundError(erasure_id=erasure_id)
    return erasure


async def sweep_loop(*, erasures: Erasures, people: People, settled_seconds: float) -> None:
    """Brings open erasures to their end, until cancelled."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            for erasure in await erasures.find_open():
                try:
                    await _advance(erasure, erasures=erasures, people=people, settled_seconds=settled_seconds)
                except UserNotFoundError:
                    await erasures.forget(erasure.erasure_id)
        except CannotAskError:
            _LOG.warning("erasures wait for identity")
        except Exception as error:
            if outage(error) is None:
                raise
            _LOG.warning("erasures wait for the database")


async def _advance(erasure: Erasure, *, erasures: Erasures, people: People, settled_seconds: float) -> Erasure:
    erasure_id = erasure.erasure_id
    if erasure.erased is None:
        erased = await people.erase(erasure_id, erasure.internal_user_id)
        await erasures.note_erased(erasure_id, erased)
    last = not await erasures.may_still_arrive(erasure_id, settled_seconds=settled_seconds)
    async for event_ids in people.erased_events(erasure_id):
        await erasures.clean(erasure_id, event_keys(event_ids))
    if last:
        await people.confirm(erasure_id)
        await erasures.complete(erasure_id)
    return await find_erasure(erasure_id, erasures=erasures)
