"""Stores one group of events exactly once: claim the ids in Redis, commit the events, then mark the ids as stored.

The unique key of the table `event` decides what is a duplicate. Redis only saves the question, and the order keeps it
harmless:
- An id that is marked as stored before the commit can lose an event. If the process dies in between, the log does
  not have the event, and when it is sent again it is taken for a duplicate.
- An id that is marked after the commit is unknown to Redis if the process dies in between. Without the unique key, the
  event would be counted twice when it is sent again.

A mark outlives the event if the log is restored from a backup, or goes on in a copy that lacks the last commits. So a
mark is believed only after the log has said that it is still in the epoch in which the mark was made (ADR 0013).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from dmp_chassis.database import retrying
from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.tracing import span, traceparent
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.adapters.batch_payload import batch_payload
from dmp_ingest.adapters.claim_cache import Claimed, Claims
from dmp_ingest.adapters.event_store import AlreadyStoredError, EventLog
from dmp_ingest.adapters.group_writer import NewGroup
from dmp_ingest.adapters.log_epoch import LogEpoch
from dmp_ingest.adapters.outbox import LEASE_SECONDS
from dmp_ingest.domain.batch import Batch
from dmp_ingest.domain.duplicate import first_of_each_key
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.rejections import Rejections

_AT_ONCE_EVENTS: Final = 200
"""Up to so many events one statement costs less than copying them within a transaction (ADR 0007)."""
_ANNOUNCED_KINDS: Final = 20
"""The announcement of rejected events names so many kinds at most, those of most events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStores:
    """Where groups are stored."""

    log: EventLog
    claims: Claims
    epoch: LogEpoch
    announced: Callable[[], None]
    """Called when domain events have been committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGroup:
    """A group whose events are in the log."""

    events: Sequence[AcceptableEvent]
    """All events of the group, in order."""
    firsts: Mapping[bytes, AcceptableEvent]
    """The first event of each key."""
    stored: Mapping[bytes, int]
    """The events that were in the log before the group: key and fingerprint there."""
    batch: Batch | None
    """What is to be handed over, None if no event is new."""
    accepted: Sequence[AcceptableEvent]
    """The new events, in the order of the batch."""
    unsettled: Mapping[bytes, int]
    """The part of `stored` that Redis does not know to be applied."""
    token: bytes
    """The token of this group's claims in Redis."""
    epoch: bytes
    """The epoch of the log that its claims name."""
    disputed: bool
    """Whether another group had claimed some of the new events, or Redis was away."""


async def store_group(
    events: Sequence[AcceptableEvent], *, rejected: Rejections, acknowledged: Sequence[str], stores: GroupStores
) -> StoredGroup:
    """Stores the new ones among these events, their batch and the announcements in one transaction.

    rejected: the invalid events that came with the group, for the announcement. acknowledged: batches that leave the
    outbox in the same transaction.

    Raises what the database raises. Nothing is stored then, or it is not known whether it was; the claims are given up.
    """
    firsts = first_of_each_key(events)
    token = secrets.token_bytes(8)
    candidates = list(firsts.values())
    epoch = await stores.epoch.known()
    fingerprints = [event.fingerprint for event in candidates]
    with span("claim ids", {"dmp.ids": len(candidates)}):
        claimed = await stores.claims.claim(list(firsts), fingerprints, token=token, epoch=epoch)
    missing = candidates
    appender = _GroupAppender(stores.log, size=len(events), rejected=rejected, acknowledged=acknowledged)
    try:
        if claimed.stored:
            if await stores.epoch.read() == epoch:
                missing = [event for event in candidates if event.key not in claimed.stored]
            else:
                claimed = Claimed(all_decided=False)
        with span("append to the log", {"dmp.events": len(missing), "dmp.in_doubt": not claimed.all_decided}):
            appended = await _append(missing, appender, believed_new=claimed.all_decided)
    except BaseException:
        await stores.claims.release([event.key for event in missing], token=token, epoch=epoch)
        raise
    stores.announced()
    stored = {**claimed.stored, **appended.found}
    return StoredGroup(
        events=events,
        firsts=firsts,
        stored=stored,
        batch=appended.batch,
        accepted=appended.events,
        unsettled={key: stored[key] for key in (*claimed.in_doubt, *appended.found)},
        token=token,
        epoch=epoch,
        disputed=not claimed.all_decided,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Appended:
    """What became of events that are not known to be in the log."""

    events: Sequence[AcceptableEvent] = ()
    """Those that were not there and are now."""
    batch: Batch | None = None
    """The batch of these; None if there is none."""
    found: Mapping[bytes, int]
    """Those that were there before: key and fingerprint in the log."""


async def _append(missing: Sequence[AcceptableEvent], appender: _GroupAppender, *, believed_new: bool) -> _Appended:
    """Appends those of the events that the log does not have.

    believed_new: nobody else is known to have or to be storing any of them. They then go straight into the log, which
    costs half as much. If one is there all the same, the attempt is repeated in the way that allows for it.
    """
    if not missing:
        return await appender.nothing()
    # In one database everybody inserts in the order of the keys. In several at once there is no such order: two groups
    # with the same events may wait for each other until one of them is told to begin again.
    if believed_new:
        at_once = len(missing) <= _AT_ONCE_EVENTS
        try:
            return await retrying(partial(appender.new_at_once if at_once else appender.new, missing))
        except AlreadyStoredError:
            pass
    return await retrying(partial(appender.missing, missing))


class _GroupAppender:
    """The ways to append a group. Each is one transaction that also writes the batch and the announcements."""

    def __init__(self, log: EventLog, *, size: int, rejected: Rejections, acknowledged: Sequence[str]) -> None:
        self._log = log
        self._size = size
        self._rejected = rejected
        self._acknowledged = acknowledged
        self._now_us = time.time_ns() // 1000
        self._batch_id = uuid7_text()
        self._batch_key = bytes.fromhex(self._batch_id.replace("-", ""))

    async def nothing(self) -> _Appended:
        """No event is new: only announces that."""
        async with self._log.begin() as transaction:
            await transaction.announce(self._announcements(0))
        return _Appended(found={})

    async def new_at_once(self, events: Sequence[AcceptableEvent]) -> _Appended:
        """Appends a few new events in one statement. Raises AlreadyStoredError if one of them is in the log."""
        batch = self._batch(events)
        group = NewGroup(
            events=events,
            batch=batch,
            received_at_us=self._now_us,
            lease_seconds=LEASE_SECONDS,
            announcements=self._announcements(batch.size),
            acknowledged=self._acknowledged,
        )
        await self._log.append_at_once(group)
        return _Appended(events=events, batch=batch, found={})

    async def new(self, events: Sequence[AcceptableEvent]) -> _Appended:
        """Appends many new events. Raises AlreadyStoredError if one of them is in the log."""
        batch = self._batch(events)
        async with self._log.begin() as transaction:
            await transaction.append(events, batch_id=self._batch_key, received_at_us=self._now_us)
            await transaction.add_batch(batch, lease_seconds=LEASE_SECONDS, acknowledged=self._acknowledged)
            await transaction.announce(self._announcements(batch.size))
        return _Appended(events=events, batch=batch, found={})

    async def missing(self, events: Sequence[AcceptableEvent]) -> _Appended:
        """Appends those of the events that the log does not have."""
        async with self._log.begin() as transaction:
            found = await transaction.append_missing(events, batch_id=self._batch_key, received_at_us=self._now_us)
            new = [event for event in events if event.key not in found] if found else events
            batch = self._batch(new) if new else None
            if batch is not None:
                await transaction.add_batch(batch, lease_seconds=LEASE_SECONDS, acknowledged=self._acknowledged)
            await transaction.announce(self._announcements(len(new)))
        return _Appended(events=new, batch=batch, found=found)

    def _batch(self, events: Sequence[AcceptableEvent]) -> Batch:
        payload = batch_payload(events, batch_id=self._batch_id, accepted_at_us=self._now_us, traceparent=traceparent())
        return Batch(batch_id=self._batch_id, payload=payload, size=len(events))

    def _announcements(self, new: int) -> list[DomainEvent]:
        """The domain events of a group of which so many events are new."""
        announcements = []
        if new:
            announcements.append(DomainEvent(kind="EventsAccepted", payload={"batch_id": self._batch_id, "count": new}))
        if self._size > new:
            announcements.append(DomainEvent(kind="DuplicatesIgnored", payload={"count": self._size - new}))
        if self._rejected.count:
            kinds = [{**kind._asdict(), "count": count} for kind, count in self._rejected.commonest(_ANNOUNCED_KINDS)]
            payload = {"count": self._rejected.count, "kinds": kinds}
            announcements.append(DomainEvent(kind="EventsRejected", payload=payload))
        return announcements
