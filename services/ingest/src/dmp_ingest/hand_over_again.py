"""Hands over again what the log has of a range of time, to a consumer whose database was restored to an earlier moment.

The batches go back into the outbox with the ids that they had. So the relays of the running service deliver them, and
the inbox of the consumer ignores those that it has applied.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass

from dmp_ingest.adapters.log_batches import LogBatches
from dmp_ingest.adapters.outbox import ConsumerName


@dataclass(slots=True, kw_only=True)
class HandedOver:
    """What was put back into the outbox."""

    batches: int = 0
    events: int = 0


async def hand_over_again(*, log: LogBatches, to: Collection[ConsumerName], first_us: int, end_us: int) -> HandedOver:
    """Puts back the batches that were made from `first_us` on and before `end_us`, in microseconds since 1970.

    May be repeated, and stopped at any point: what it has done stays, what is done twice counts once. Memory has a
    bound, the outbox grows by about 85 bytes an event. Raises what the database raises.
    """
    done = HandedOver()
    async with aclosing(log.find(first_us=first_us, end_us=end_us)) as parts:
        async for keys in parts:
            done.batches += await log.hand_over(keys, to=to)
            done.events += len(keys)
    return done
