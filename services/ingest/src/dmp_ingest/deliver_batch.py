"""Hands a batch to identity and stats right after its commit. What they do not acknowledge is left to the relays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dmp_ingest.adapters.consumers import Consumers, NotApplied, profile_ids
from dmp_ingest.domain.batch import Batch
from dmp_ingest.hold_batches import HeldBatches

_DELIVERY_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of a batch that was handed over."""

    applied: bool
    """Whether both consumers have it."""
    internal_user_ids: Sequence[str] = field(default=())
    """The profile of each event of the batch, empty text for an event that names nobody. No profiles if not known."""


class Deliverer:
    """Hands over the batches of this process's commits."""

    def __init__(self, held: HeldBatches, consumers: Consumers) -> None:
        self._held = held
        self._consumers = consumers

    async def deliver(self, batch: Batch) -> Delivered:
        """Hands over a batch that has just been committed. A consumer that is away is left to the relay.

        It takes as long as the consumers take. Giving up a call would only mean making it again.
        """
        self._held.hold(batch.batch_id)
        identity, stats = self._consumers.identity, self._consumers.stats
        by_identity, by_stats = await asyncio.gather(
            _skip() if identity.away else identity.deliver(batch.payload, timeout_seconds=_DELIVERY_SECONDS),
            _skip() if stats.away else stats.deliver(batch.payload, timeout_seconds=_DELIVERY_SECONDS),
        )
        has_identity, has_stats = not isinstance(by_identity, NotApplied), not isinstance(by_stats, NotApplied)
        if has_identity and has_stats:
            self._held.complete(batch.batch_id)
        else:
            self._held.give_up(batch.batch_id, identity=has_identity, stats=has_stats)
        return Delivered(
            applied=has_identity and has_stats,
            internal_user_ids=() if isinstance(by_identity, NotApplied) else profile_ids(by_identity),
        )

    def take_acknowledged(self) -> list[str]:
        """See `HeldBatches`."""
        return self._held.take_acknowledged()

    def give_back(self, acknowledged: Sequence[str]) -> None:
        """Returns what `take_acknowledged` gave, after a commit that failed."""
        self._held.return_acknowledged(list(acknowledged))

    async def drop_acknowledged(self) -> None:
        """Writes what is known of the batches in hand: nobody has to deliver again what has been delivered."""
        await self._held.flush()


async def _skip() -> NotApplied:
    return NotApplied.AWAY
