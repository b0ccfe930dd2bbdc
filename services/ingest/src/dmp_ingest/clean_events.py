"""Cleans an erased person's events in the log, in slices: all personal fields of their own, and of others' events the
person's values.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final

from dmp_chassis.slices import Slices
from dmp_ingest.adapters.known_users import KnownUsers
from dmp_ingest.adapters.log_cleaning import LogCleaner, UntoldUserIdsError
from dmp_ingest.adapters.people import People
from dmp_ingest.domain.erasure_steps import ListedEvent
from dmp_ingest.domain.event_key import event_keys

_USER_ID: Final = "user_id"


class EventCleaner:
    """Cleans events for one erasure. If it finds other spellings of the person's user ids than those that are known, it
    tells stats of them before they are gone.
    """

    def __init__(self, erasure_id: str, *, log: LogCleaner, people: People, users: KnownUsers) -> None:
        self._erasure_id = erasure_id
        self._log = log
        self._people = people
        self._users = users
        self._told: set[str] = set()
        self._slices = Slices()

    async def clean(self, listed: Sequence[ListedEvent], user_ids: Collection[str]) -> int:
        """Cleans these events; how many had anything to clean. user_ids: those that stats is told of anyway.

        Raises CannotAskError.
        """
        self._told.update(user_ids)
        keys = event_keys([event.event_id for event in listed])
        others = [key for event, key in zip(listed, keys, strict=True) if event.of_others]
        count = await self._clean_others(others) if others else 0
        return count + await self._clean_own(
            [key for event, key in zip(listed, keys, strict=True) if not event.of_others]
        )

    async def _clean_own(self, keys: Sequence[bytes]) -> int:
        count = start = 0
        while start < len(keys):
            part, begun = keys[start : start + self._slices.rows], time.monotonic()
            try:
                count += await self._log.clean(part, told=self._told)
            except UntoldUserIdsError as error:
                await self._erased_among({(_USER_ID, user_id) for user_id in error.user_ids})
                # Those who are not erased need not be asked about again.
                self._told |= error.user_ids
                continue
            start += len(part)
            await asyncio.sleep(self._slices.took(len(part), time.monotonic() - begun))
        return count

    async def _clean_others(self, keys: Sequence[bytes]) -> int:
        shown = await self._log.shown(keys)
        gone = await self._erased_among({pair for pairs in shown.values() for pair in pairs})
        return await self._log.take_out([key for key, pairs in shown.items() if not gone.isdisjoint(pairs)], gone)

    async def _erased_among(self, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """The identifiers among these that are the erased person's; stats has been told of user ids."""
        gone = await self._people.erased_among(self._erasure_id, pairs) if pairs else set()
        if spellings := {value for kind, value in gone if kind == _USER_ID} - self._told:
            await self._users.forget(sorted(spellings))
            self._told |= spellings
        return gone
