"""Applies batches that come together in one transaction: most of what a small batch costs is the transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from dmp_chassis import tracing
from dmp_chassis.outages import outage
from dmp_identity.apply_batch import AppliedBatch
from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.domain.joined_batches import joinable

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Apply: TypeAlias = Callable[[Sequence[EventBatch]], Awaitable[Sequence[AppliedBatch]]]

_LANES_OF_SMALL: Final = 2
"""One transaction waits for the disk while the next is decided."""
_MANY_EVENTS: Final = 500


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: EventBatch
    outcome: asyncio.Future[AppliedBatch]
    span: Span | None


class BatchJoiner:
    """Each batch stays a unit of its own: it is applied once, whichever others it is joined with.

    apply: applies batches in one transaction. If it raises, none is applied, and each is tried by itself.
    most_lanes: so many transactions are under way at most.
    """

    def __init__(self, apply: Apply, *, most_lanes: int) -> None:
        self._apply = apply
        self._most_lanes = most_lanes
        self._waiting: list[_Waiting] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def apply(self, batch: EventBatch) -> AppliedBatch:
        """Applies a batch; returns once that is committed. Raises what applying it raises.

        If the caller gives up the batch may be applied all the same.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[AppliedBatch] = loop.create_future()
        self._waiting.append(_Waiting(batch, outcome, tracing.current()))
        if len(self._lanes) < self._lanes_needed():
            self._lanes.add(loop.create_task(self._run_lane()))
        return await outcome

    async def close(self) -> None:
        """Ends what is under way."""
        lanes = tuple(self._lanes)
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)

    def _lanes_needed(self) -> int:
        many = sum(len(waiting.batch.event_ids) for waiting in self._waiting) >= _MANY_EVENTS
        return self._most_lanes if many else min(self._most_lanes, _LANES_OF_SMALL)

    async def _run_lane(self) -> None:
        """Applies batches until none waits."""
        lane = asyncio.current_task()
        assert lane is not None
        try:
            while group := self._take():
                await self._apply_group(group)
        finally:
            # At once, not when the task is seen to have ended: whoever comes in between must start another.
            self._lanes.remove(lane)

    def _take(self) -> list[_Waiting]:
        """The batches that were accepted first. Replicas that join some of the same take them in the same order."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.outcome.done()]
        self._waiting.sort(key=lambda waiting: (waiting.batch.accepted_at_us, waiting.batch.batch_id))
        count = joinable(len(waiting.batch.event_ids) for waiting in self._waiting)
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _apply_group(self, group: Sequence[_Waiting]) -> None:
        try:
            with tracing.joined_span("apply batches", [waiting.span for waiting in group]):
                applied = await self._apply([waiting.batch for waiting in group])
        except asyncio.CancelledError:
            for waiting in group:
                waiting.outcome.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # whatever it was: those who wait are told
            if len(group) > 1 and outage(error) is None:
                # What one batch cannot have done must not be kept from the others.
                for waiting in group:
                    await self._apply_group([waiting])
                return
            for waiting in group:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error)
        else:
            for waiting, outcome in zip(group, applied, strict=True):
                if not waiting.outcome.done():
                    waiting.outcome.set_result(outcome)
