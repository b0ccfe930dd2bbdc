"""Tells the callers of a stored group which of their events are new, repeated, or in conflict with the stored ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from dmp_ingest.adapters.event_store import EventLog, content_from_row
from dmp_ingest.domain.duplicate import Verdict, content_of, judge, same_content, standing_fingerprint
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.store_group import StoredGroup

_LOG: Final = logging.getLogger(__name__)
_COMPARE_SECONDS: Final = 2.0
_COMPARED_AT_ONCE: Final = 50


async def judge_group(group: StoredGroup, *, log: EventLog) -> list[Verdict]:
    """The verdict on each event of a stored group, in order. Never raises: the group is stored, whatever happens here.

    A repeated event whose fingerprint differs from that of the event that stands is compared with it in full: metadata
    may say the same in another order, spacing or spelling of numbers. If the log cannot be read in time, such events
    count as conflicts.
    """
    differing = [
        event for event in group.events if standing_fingerprint(event, group.firsts, group.stored) != event.fingerprint
    ]
    same: frozenset[tuple[bytes, int]] = frozenset()
    if differing:
        try:
            async with asyncio.timeout(_COMPARE_SECONDS):
                same = await _same_content(differing, group, log)
        except Exception as error:  # noqa: BLE001  # the answer stands, whatever it is
            _LOG.warning("repeated events cannot be compared", extra={"error": type(error).__name__})
    return judge(group.events, group.firsts, group.stored, same)


async def _same_content(
    differing: Sequence[AcceptableEvent], group: StoredGroup, log: EventLog
) -> frozenset[tuple[bytes, int]]:
    """Key and fingerprint of those events whose content equals that of the event that stands under their id.

    Other tasks get their turn in between.
    """
    keys = list({event.key for event in differing if event.key in group.stored})
    rows = await log.read(keys) if keys else {}
    same: set[tuple[bytes, int]] = set()
    for number, event in enumerate(differing, 1):
        row = rows.get(event.key)
        if event.key not in group.stored:
            equal = same_content(content_of(event), content_of(group.firsts[event.key]))
        else:
            equal = row is not None and same_content(content_of(event), content_from_row(row))
        if equal:
            same.add((event.key, event.fingerprint))
        if number % _COMPARED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return frozenset(same)
