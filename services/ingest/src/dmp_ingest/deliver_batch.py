"""Hands committed batches to identity and stats: at once after the commit, and by relay for what was not
acknowledged."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dmp_chassis.outages import outage
from dmp_ingest.adapters.consumers import Consumers, profile_ids
from dmp_ingest.adapters.outbox import Outbox, Waiting
from dmp_ingest.domain.batch import Batch

_LOG: Final = logging.getLogger(__name__)
_DELIVERY_SECONDS: Final = 8.0
_RELAY_BATCHES: Final = 8
_RELAY_LEASE_SECONDS: Final = 30.0
_RELAY_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 15.0
_IDLE_SECONDS: Final = 0.5
_DROP_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """applied: both consumers have the batch. internal_user_ids: for each event of the batch its profile or empty
    text; none if not known."""

    applied: bool
    internal_user_ids: Sequence[str] = field(default=())


class Deliverer:
    """Hands over batches of this replica's commits, and those that any replica has left in the outbox."""

    def __init__(self, outbox: Outbox, consumers: Consumers) -> None:
        self._outbox = outbox
        self._consumers = consumers
        self._acknowledged: list[str] = []

    async def deliver(self, batch: Batch) -> Delivered:
        """Hands over a batch that has just been committed. A consumer that is away is left to the relay.

        Takes as long as the consumers do: a call that were given up would have to be made again.
        """
        to_identity, to_stats = not self._consumers.identity.away, not self._consumers.stats.away
        identity, stats = await self._consumers.apply(
            batch.payload, to_identity=to_identity, to_stats=to_stats, timeout_seconds=_DELIVERY_SECONDS
        )
        applied = identity is not None and stats
        if applied:
            self._acknowledged.append(batch.batch_id)
        return Delivered(applied=applied, internal_user_ids=profile_ids(identity) if identity is not None else ())

    def take_acknowledged(self) -> list[str]:
        """Batches that both have acknowledged and that are still in the outbox: the next commit drops them on its
        way."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def give_back(self, acknowledged: Sequence[str]) -> None:
        """Returns what `take_acknowledged` gave, after a commit that failed."""
        self._acknowledged.extend(acknowledged)

    async def drop_loop(self) -> None:
        """Drops acknowledged batches while no commit does, until cancelled."""
        while True:
            await asyncio.sleep(_DROP_SECONDS)
            await self.drop_acknowledged()

    async def drop_acknowledged(self) -> None:
        """Drops what is acknowledged. What cannot be dropped now is delivered again, which changes nothing."""
        if not self._acknowledged:
            return
        acknowledged = self.take_acknowledged()
        try:
            await self._outbox.drop(acknowledged)
        except Exception as error:
            if outage(error) is None:
                raise
            self.give_back(acknowledged)

    async def relay_loop(self) -> None:
        """Delivers what is due in the outbox until cancelled; waits longer and longer while it does not succeed."""
        failures = 0
        while True:
            try:
                taken, succeeded = await self.relay_once(1 if failures else _RELAY_BATCHES)
                failures = 0 if succeeded else failures + 1
            except Exception as error:
                if outage(error) is None:
                    raise
                taken, failures = 0, failures + 1
            if failures:
                await asyncio.sleep(_pause(failures))
            elif not taken:
                await asyncio.sleep(_jitter() * _IDLE_SECONDS)

    async def relay_once(self, limit: int) -> tuple[int, bool]:
        """Takes up to `limit` due batches and hands each to whoever lacks it: how many, and whether all were
        acknowledged."""
        waiting = await self._outbox.take(limit=limit, lease_seconds=_RELAY_LEASE_SECONDS)
        acknowledged = [await self._redeliver(batch) for batch in waiting]
        return len(waiting), all(acknowledged)

    async def _redeliver(self, waiting: Waiting) -> bool:
        identity, stats = await self._consumers.apply(
            waiting.payload,
            to_identity=not waiting.identity_applied,
            to_stats=not waiting.stats_applied,
            timeout_seconds=_RELAY_TIMEOUT_SECONDS,
        )
        identity_applied = waiting.identity_applied or identity is not None
        stats_applied = waiting.stats_applied or stats
        if identity_applied and stats_applied:
            await self._outbox.drop([waiting.batch_id])
            return True
        await self._outbox.note(
            waiting.batch_id, identity=identity_applied, stats=stats_applied, pause_seconds=_pause(waiting.attempts)
        )
        return False


def _pause(attempts: int) -> float:
    """Seconds to wait after so many failures: growing, bounded, and different for everybody."""
    return _jitter() * min(_LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(attempts, 10))


def _jitter() -> float:
    return random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, keeps no secret
