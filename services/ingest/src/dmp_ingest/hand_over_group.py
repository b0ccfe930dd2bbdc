"""What follows the commit of a group: identity and stats get its batch, callers their answers, Redis the outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from dmp_chassis.metrics import Metrics
from dmp_chassis.outages import outage
from dmp_chassis.tracing import span
from dmp_ingest.adapters.claim_cache import Claims
from dmp_ingest.adapters.event_store import EventLog
from dmp_ingest.deliver_batch import Delivered, Deliverer
from dmp_ingest.gather_groups import Committed, Group
from dmp_ingest.judge_group import judge_group
from dmp_ingest.metrics import ANSWERED, HAND_OVER
from dmp_ingest.store_group import StoredGroup

_LOG: Final = logging.getLogger(__name__)


class GroupHandOver:
    """Hands over stored groups. Nothing here can fail a group: it is in the log."""

    def __init__(
        self, *, log: EventLog, claims: Claims, deliverer: Deliverer, apply_wait_seconds: float, metrics: Metrics
    ) -> None:
        self._log = log
        self._claims = claims
        self._deliverer = deliverer
        self._apply_wait_seconds = apply_wait_seconds
        self._metrics = metrics

    async def run(self, group: Group, stored: StoredGroup, *, answered: Callable[[Group], None]) -> None:
        """Delivers the batch, answers the submissions, calls `answered`, and settles the claims.

        Callers wait for identity and stats for a limited time only. After it they are answered with `applied: false`,
        and the delivery goes on.
        """
        delivering = asyncio.ensure_future(self._deliver(stored))
        try:
            verdicts = await judge_group(stored, log=self._log)
            in_doubt = bool(stored.unsettled) and await self._in_doubt(stored)
            await asyncio.wait({delivering}, timeout=self._apply_wait_seconds)
            delivered = delivering.result() if delivering.done() else Delivered(applied=False)
            answer = Committed(
                verdicts=verdicts,
                internal_user_ids=_profiles(stored, delivered),
                applied=delivered.applied and not in_doubt,
            )
            self._metrics.add(ANSWERED, len(stored.events), "true" if answer.applied else "false")
            _answer(group, answer)
        finally:
            answered(group)
        await self._settle_claims(stored, repeated_applied=not in_doubt, new_applied=(await delivering).applied)

    async def _deliver(self, stored: StoredGroup) -> Delivered:
        """Never raises: what cannot be delivered now is left to the relay."""
        if stored.batch is None:
            return Delivered(applied=True)
        begun, outcome = time.monotonic(), "left"
        try:
            with span("hand over", {"dmp.events": stored.batch.size}):
                delivered = await self._deliverer.deliver(stored.batch)
            outcome = "applied" if delivered.applied else "left"
            return delivered
        except Exception:  # noqa: BLE001  # the group is stored, whatever it is
            _LOG.exception("a batch could not be handed over")
            return Delivered(applied=False)
        finally:
            self._metrics.observe(HAND_OVER, time.monotonic() - begun, outcome)

    async def _in_doubt(self, stored: StoredGroup) -> bool:
        """Whether an event of this group that was stored before may not be applied yet."""
        try:
            return await self._log.undelivered(list(stored.unsettled))
        except Exception as error:  # noqa: BLE001  # the group is stored, whatever it is
            if outage(error) is None:
                _LOG.exception("it is not known whether repeated events are applied")
            return True

    async def _settle_claims(self, stored: StoredGroup, *, repeated_applied: bool, new_applied: bool) -> None:
        """Writes into Redis what the log has: the events that were there before, then the new ones."""
        unsettled, new, epoch = stored.unsettled, stored.accepted, stored.epoch
        await self._claims.settle(list(unsettled), list(unsettled.values()), applied=repeated_applied, epoch=epoch)
        if stored.disputed:
            keys, fingerprints = [event.key for event in new], [event.fingerprint for event in new]
            await self._claims.settle(keys, fingerprints, applied=new_applied, epoch=epoch)
        elif new:
            await self._claims.settle_group(stored.token, applied=new_applied)


def _profiles(stored: StoredGroup, delivered: Delivered) -> Sequence[str]:
    """The profile of each event of a group, empty where it is not known."""
    events = stored.events
    if not delivered.internal_user_ids:
        return [""] * len(events)
    if len(stored.accepted) == len(events):
        # All events are new, so the batch has them in the order of the group.
        return delivered.internal_user_ids
    keys = [event.key for event in stored.accepted]
    profiles = dict(zip(keys, delivered.internal_user_ids, strict=True))
    return [profiles.get(event.key, "") for event in events]


def _answer(group: Group, answer: Committed) -> None:
    """Gives each submission its part of the group's answer."""
    position = 0
    for submission in group:
        end = position + len(submission.events)
        if not submission.answer.done():
            submission.answer.set_result(
                Committed(
                    verdicts=answer.verdicts[position:end],
                    internal_user_ids=answer.internal_user_ids[position:end],
                    applied=answer.applied,
                )
            )
        position = end
