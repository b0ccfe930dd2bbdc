"""Keeps the leases of the batches that this process has in hand, and writes what became of them.

A lease is short, so that another process soon delivers the batches of one that died. A process that lives renews its
leases. If a process was frozen, others may have delivered its batches in the meantime: then these come twice, and the
consumers' inboxes ignore the second delivery.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from dmp_chassis.outages import outage
from dmp_ingest.adapters.outbox import LEASE_SECONDS, ConsumerName, Outbox, Outcome

_WRITE_SECONDS: Final = 0.1
_RENEW_SECONDS: Final = LEASE_SECONDS / 4
"""A lease may miss two renewals before it ends."""


class HeldBatches:
    """The batches that a process has in hand. Only `run` and `flush` wait for the database."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._held: dict[str, float] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._acknowledged: list[str] = []

    def hold(self, batch_id: str) -> None:
        """Begins to renew the lease of a batch. The lease has just begun."""
        self._held[batch_id] = time.monotonic()

    def complete(self, batch_id: str) -> None:
        """Both consumers have the batch: the next commit, or `run`, drops it."""
        self._held.pop(batch_id, None)
        self._acknowledged.append(batch_id)

    def give_up(self, batch_id: str, *, identity: bool, stats: bool) -> None:
        """Leaves a batch to the relays. identity, stats: whether the consumer has it already."""
        self._settle(batch_id, Outcome(identity=identity, stats=stats))

    def applied(self, batch_id: str, consumer: ConsumerName) -> None:
        """One consumer has the batch."""
        self._settle(batch_id, Outcome(identity=consumer == "identity", stats=consumer == "stats"))

    def postpone(self, batch_id: str, *, pause_seconds: float) -> None:
        """Nobody is to try the batch again before the pause is over."""
        self._settle(batch_id, Outcome(pause_seconds=pause_seconds))

    def take_acknowledged(self) -> list[str]:
        """Takes the batches that both consumers have and that are still in the outbox.

        The next commit deletes them there.
        """
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def return_acknowledged(self, batch_ids: list[str]) -> None:
        """Returns what `take_acknowledged` gave, after a commit that failed."""
        self._acknowledged.extend(batch_ids)

    async def run(self) -> None:
        """Writes outcomes and renews leases until cancelled."""
        renewed_at = time.monotonic()
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            await self.flush()
            if time.monotonic() - renewed_at >= _RENEW_SECONDS:
                renewed_at = time.monotonic()
                await self._renew()

    async def flush(self) -> None:
        """Writes what became of batches. What cannot be written now is kept for the next time."""
        acknowledged, outcomes = self.take_acknowledged(), self._outcomes
        self._outcomes = {}
        try:
            if acknowledged:
                await self._outbox.drop(acknowledged)
                acknowledged = []
            if outcomes:
                await self._outbox.write(outcomes)
        except Exception as error:
            if outage(error) is None:
                raise
            self.return_acknowledged(acknowledged)
            for batch_id, outcome in outcomes.items():
                self._note(batch_id, outcome)

    async def _renew(self) -> None:
        old = time.monotonic() - _RENEW_SECONDS
        # In the order in which they were taken in hand.
        longer = [batch_id for batch_id, since in self._held.items() if since <= old]
        if not longer:
            return
        try:
            await self._outbox.renew(longer)
        except Exception as error:
            if outage(error) is None:
                raise

    def _settle(self, batch_id: str, outcome: Outcome) -> None:
        self._held.pop(batch_id, None)
        self._note(batch_id, outcome)

    def _note(self, batch_id: str, outcome: Outcome) -> None:
        """Adds an outcome to what is to be written.

        Both relays of this process may have had the batch since the last time.
        """
        known = self._outcomes.get(batch_id)
        if known is None:
            self._outcomes[batch_id] = outcome
            return
        known.identity |= outcome.identity
        known.stats |= outcome.stats
        known.pause_seconds = max(known.pause_seconds, outcome.pause_seconds)
