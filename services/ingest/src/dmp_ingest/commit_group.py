"""Stores one group of events exactly once: claim, commit, and only then done.

The order matters. An id that were marked as seen before the commit would be lost when the process dies in between;
one that is only
marked after it, without the unique key, would be counted twice. The log's unique key is the truth; Redis only saves
work.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from dmp_chassis.domain_events import DomainEvent
from dmp_chassis.instants import instant_us
from dmp_chassis.uuid7 import uuid7_text
from dmp_ingest.adapters.batch_payload import batch_payload
from dmp_ingest.adapters.claims import Claims
from dmp_ingest.adapters.event_log import AlreadyStoredError, Appending, EventLog, Row
from dmp_ingest.adapters.group_writer import NewGroup
from dmp_ingest.adapters.outbox import LEASE_SECONDS
from dmp_ingest.domain.batch import Batch
from dmp_ingest.domain.event import AcceptableEvent
from dmp_ingest.domain.json_text import same_json
from dmp_ingest.domain.verdict import Verdict, first_of_each_key, judge

_LOG: Final = logging.getLogger(__name__)
_COMPARE_SECONDS: Final = 2.0
_COMPARED_AT_ONCE: Final = 50
_AT_ONCE_EVENTS: Final = 200
"""Up to so many events one statement costs less than copying them within a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCommitted:
    """What became of a group.

    What is left to do can only add to the answer: the group is stored.
    """

    events: Sequence[AcceptableEvent]
    """All of the group, in order."""
    firsts: Mapping[bytes, AcceptableEvent]
    """The first event of each key."""
    stored: Mapping[bytes, int]
    """Fingerprints in the log of those that were there before the group, by key."""
    batch: Batch | None
    """What is to be handed over, None if nothing is new."""
    accepted: Sequence[AcceptableEvent]
    """The new events, in the order of the batch."""
    unsettled: Mapping[bytes, int]
    """The part of `stored` that Redis does not know to be applied."""
    token: bytes
    """That of the claims on the new events."""
    disputed: bool
    """Somebody else had claimed some of them, or Redis was away."""


async def commit_group(
    events: Sequence[AcceptableEvent],
    *,
    rejected: int,
    log: EventLog,
    claims: Claims,
    acknowledged: Sequence[str],
    announced: Callable[[], None],
) -> GroupCommitted:
    """Stores the new ones among these events in one transaction, with their batch in the outbox and what is to be
    announced.

    rejected: how many invalid events came with the group, for the announcement. acknowledged: batches to drop from the
    outbox on the way. announced: called when domain events have been committed. Raises what the database raises;
    nothing is stored then, or it is not known whether it was, and the claims are given up.
    """
    firsts = first_of_each_key(events)
    token = secrets.token_bytes(8)
    candidates = list(firsts.values())
    claimed = await claims.claim(list(firsts), [event.fingerprint for event in candidates], token=token)
    stored, in_doubt = claimed.stored, claimed.in_doubt
    missing = [event for event in candidates if event.key not in stored] if stored else candidates
    announcements_of = partial(_announcements, size=len(events), rejected=rejected)
    try:
        if missing:
            accepted, batch, found = await _store(
                missing,
                log=log,
                believed_new=claimed.all_decided,
                announcements_of=announcements_of,
                acknowledged=acknowledged,
            )
            stored |= found
            in_doubt += found
        else:
            accepted, batch = (), None
            async with log.begin() as appending:
                await appending.announce(announcements_of(None))
    except BaseException:
        await claims.release([event.key for event in missing], token=token)
        raise
    announced()
    return GroupCommitted(
        events=events,
        firsts=firsts,
        stored=stored,
        batch=batch,
        accepted=accepted,
        unsettled={key: stored[key] for key in in_doubt},
        token=token,
        disputed=not claimed.all_decided,
    )


async def _store(
    missing: Sequence[AcceptableEvent],
    *,
    log: EventLog,
    believed_new: bool,
    announcements_of: Callable[[Batch | None], Sequence[DomainEvent]],
    acknowledged: Sequence[str],
) -> tuple[Sequence[AcceptableEvent], Batch | None, dict[bytes, int]]:
    """Appends what the log does not have: the new events, their batch, and the fingerprints of those that were there
    already.

    believed_new: nobody else is known to have or to be storing any of them. They then go straight into the log, which
    costs half as much, and one that is there all the same costs a second try.
    """
    now_us = time.time_ns() // 1000
    batch_id = uuid7_text()
    batch_key = bytes.fromhex(batch_id.replace("-", ""))

    def batch_of(events: Sequence[AcceptableEvent]) -> Batch | None:
        payload = batch_payload(events, batch_id=batch_id, accepted_at_us=now_us)
        return Batch(batch_id=batch_id, payload=payload, size=len(events)) if events else None

    async def finish(appending: Appending, batch: Batch | None) -> None:
        if batch is not None:
            await appending.add_batch(batch, lease_seconds=LEASE_SECONDS, acknowledged=acknowledged)
        await appending.announce(announcements_of(batch))

    if believed_new:
        batch = batch_of(missing)
        try:
            if batch is not None and len(missing) <= _AT_ONCE_EVENTS:
                group = NewGroup(
                    events=missing,
                    batch=batch,
                    received_at_us=now_us,
                    lease_seconds=LEASE_SECONDS,
                    announcements=announcements_of(batch),
                    acknowledged=acknowledged,
                )
                await log.append_at_once(group)
            else:
                async with log.begin() as appending:
                    await appending.append(missing, batch_id=batch_key, received_at_us=now_us)
                    await finish(appending, batch)
            return missing, batch, {}
        except AlreadyStoredError:
            pass
    async with log.begin() as appending:
        found = await appending.append_missing(missing, batch_id=batch_key, received_at_us=now_us)
        accepted = [event for event in missing if event.key not in found] if found else missing
        batch = batch_of(accepted)
        await finish(appending, batch)
    return accepted, batch, found


def _announcements(batch: Batch | None, *, size: int, rejected: int) -> list[DomainEvent]:
    """What happened to a group of this size, for whoever wants to know. batch: what is new in it."""
    announcements = []
    new = batch.size if batch is not None else 0
    if batch is not None:
        announcements.append(DomainEvent(kind="EventsAccepted", payload={"batch_id": batch.batch_id, "count": new}))
    if size > new:
        announcements.append(DomainEvent(kind="DuplicatesIgnored", payload={"count": size - new}))
    if rejected:
        announcements.append(DomainEvent(kind="EventsRejected", payload={"count": rejected}))
    return announcements


async def judge_group(committed: GroupCommitted, *, log: EventLog) -> list[Verdict]:
    """The verdict on each event of a group that is stored, in order. Never raises: what comes after the commit cannot
    take it back.

    Events that differ from the standing one by fingerprint are compared in full: metadata may say the same in another
    order, spacing or spelling of numbers. If the log cannot be read in time they count as conflicts.
    """
    events, firsts, stored = committed.events, committed.firsts, committed.stored
    differing = [event for event in events if _standing(event, firsts, stored) != event.fingerprint]
    same: frozenset[tuple[bytes, int]] = frozenset()
    if differing:
        try:
            async with asyncio.timeout(_COMPARE_SECONDS):
                same = await _same_content(differing, firsts, stored, log)
        except Exception as error:  # noqa: BLE001  # the answer stands, whatever it is
            _LOG.warning("repeated events cannot be compared", extra={"error": type(error).__name__})
    return judge(events, firsts, stored, same)


def _standing(event: AcceptableEvent, firsts: Mapping[bytes, AcceptableEvent], stored: Mapping[bytes, int]) -> int:
    """The fingerprint of the event that stands under this one's id: that of the log, or the group's first."""
    standing = stored.get(event.key)
    return standing if standing is not None else firsts[event.key].fingerprint


async def _same_content(
    differing: Sequence[AcceptableEvent],
    firsts: Mapping[bytes, AcceptableEvent],
    stored: Mapping[bytes, int],
    log: EventLog,
) -> frozenset[tuple[bytes, int]]:
    """Key and fingerprint of those events whose content equals the standing one's. Between events others get their
    turn."""
    keys = list({event.key for event in differing if event.key in stored})
    rows = await log.read(keys) if keys else {}
    same: set[tuple[bytes, int]] = set()
    for number, event in enumerate(differing, 1):
        if event.key in stored:
            equal = event.key in rows and _equals_row(event, rows[event.key])
        else:
            equal = _equal(event, firsts[event.key])
        if equal:
            same.add((event.key, event.fingerprint))
        if number % _COMPARED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return frozenset(same)


def _equal(one: AcceptableEvent, other: AcceptableEvent) -> bool:
    return (
        (one.type, one.source, one.campaign_id, one.creative_id, one.user_id, one.occurred_at_us)
        == (other.type, other.source, other.campaign_id, other.creative_id, other.user_id, other.occurred_at_us)
        and set(one.identifiers) == set(other.identifiers)
        and same_json(one.metadata, other.metadata)
    )


def _equals_row(event: AcceptableEvent, row: Row) -> bool:
    return (
        (event.type, event.source, event.campaign_id, event.creative_id, event.user_id, event.occurred_at_us)
        == (
            row.type,
            row.source or "",
            row.campaign_id or "",
            row.creative_id or "",
            row.user_id or "",
            instant_us(row.occurred_at),
        )
        and {tuple(pair) for pair in row.identifiers or ()} == set(event.identifiers)
        and same_json(event.metadata, (row.metadata_json or "").encode())
    )
