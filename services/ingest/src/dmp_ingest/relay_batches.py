"""Delivers the batches that are left in the outbox.

Each consumer has a relay of its own, so neither waits for the other.

While the consumer takes batches, its relay has several under way: one more after each success, up to a limit. While
the consumer does not answer, one batch at a time probes it, at least once a second. A batch that the consumer answers
with an error waits for a growing time and holds up no other batch.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from dmp_chassis.metrics import Metrics
from dmp_chassis.outages import outage
from dmp_chassis.tracing import continued_span
from dmp_ingest.adapters.batch_payload import traceparent_of
from dmp_ingest.adapters.consumers import Consumer, IdentityConsumer, NotApplied, StatsConsumer
from dmp_ingest.adapters.outbox import Outbox, Waiting
from dmp_ingest.hold_batches import HeldBatches
from dmp_ingest.metrics import RELAYED

_LIMIT: Final = 8
_LIMIT_OF_SMALL: Final = 128
_BYTES: Final = 8 << 20
"""Batches under way to one consumer at most: so many, and of small ones more, as long as they have about so many bytes
in all. Identity joins up to 64 small batches in each of its two transactions, and can only join what is under way. A
batch may have 4,000 events, about a megabyte."""
_TIMEOUT_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 0.25
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.0
_LONGEST_BATCH_PAUSE_SECONDS: Final = 15.0


class Relay:
    """Delivers to one consumer, one of each in a process."""

    def __init__(
        self, consumer: IdentityConsumer | StatsConsumer, *, outbox: Outbox, held: HeldBatches, metrics: Metrics
    ) -> None:
        self._consumer: Consumer[object] = consumer
        self._outbox = outbox
        self._held = held
        self._metrics = metrics
        self._window = 1
        self._usual_bytes = 1.0
        self._under_way = 0
        self._failures = 0
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Delivers what is due until cancelled."""
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await self._wait_for_room()
                waiting = await self._take()
                for batch in waiting:
                    self._held.hold(batch.batch_id)
                    self._under_way += 1
                    deliveries.create_task(self._deliver(batch))
                if not waiting:
                    await asyncio.sleep(_jitter() * _IDLE_SECONDS)

    async def _wait_for_room(self) -> None:
        """Returns once at least half of the places are free, so that one statement takes several batches."""
        while self._under_way > self._window // 2:
            self._ended.clear()
            await self._ended.wait()
        if self._failures:
            pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10)
            await asyncio.sleep(_jitter() * min(_LONGEST_PAUSE_SECONDS, pause))

    async def _take(self) -> list[Waiting]:
        """Batches to deliver now, none while the database is away."""
        try:
            return await self._outbox.take(self._consumer.name, limit=self._window - self._under_way)
        except Exception as error:
            if outage(error) is None:
                raise
            return []

    def _limit(self, delivered: Waiting) -> int:
        """How many batches may be under way, if others are about as large as the last ones were."""
        self._usual_bytes += (len(delivered.payload) - self._usual_bytes) / _LIMIT
        return max(_LIMIT, min(_LIMIT_OF_SMALL, int(_BYTES / max(self._usual_bytes, 1.0))))

    async def _deliver(self, batch: Waiting) -> None:
        with continued_span(f"relay to {self._consumer.name}", traceparent_of(batch.payload)):
            response = await self._consumer.relay(batch.payload, timeout_seconds=_TIMEOUT_SECONDS)
        result = response.value if isinstance(response, NotApplied) else "applied"
        self._metrics.add(RELAYED, 1, self._consumer.name, result)
        if response is NotApplied.AWAY:
            self._failures += 1
            self._window = 1
            self._held.give_up(batch.batch_id, identity=False, stats=False)
        elif response is NotApplied.FAILED:
            self._held.postpone(batch.batch_id, pause_seconds=_batch_pause(batch.attempts))
        else:
            self._failures = 0
            self._window = min(self._limit(batch), self._window + 1)
            self._held.applied(batch.batch_id, self._consumer.name)
        self._under_way -= 1
        self._ended.set()


def _batch_pause(attempts: int) -> float:
    """Seconds for which a batch is put aside after so many attempts."""
    return _jitter() * min(_LONGEST_BATCH_PAUSE_SECONDS, 0.25 * 2.0 ** min(attempts, 10))


def _jitter() -> float:
    return random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, keeps no secret
