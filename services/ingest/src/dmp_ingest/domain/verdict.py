"""What becomes of an event, and whether two events of one id are the same event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from dmp_ingest.domain.event import AcceptableEvent


class Verdict(Enum):
    """The answer for one event that passed validation."""

    ACCEPTED = "new, durable, counted once"
    DUPLICATE = "stored before with the same content"
    CONFLICT = "stored before with other content, which stands"


def first_of_each_key(events: Sequence[AcceptableEvent]) -> dict[bytes, AcceptableEvent]:
    """The first event of each key, in order. Within a group, as everywhere, the first content stands."""
    firsts = {event.key: event for event in events}
    if len(firsts) < len(events):
        firsts = {}
        for event in events:
            firsts.setdefault(event.key, event)
    return firsts


def judge(
    events: Sequence[AcceptableEvent],
    firsts: Mapping[bytes, AcceptableEvent],
    stored: Mapping[bytes, int],
    same: frozenset[tuple[bytes, int]],
) -> list[Verdict]:
    """The verdict on each event of a group.

    firsts: as `first_of_each_key` gives it. stored: the fingerprint in the log of each key that was there before the
    group; the others are
    accepted now. same: key and fingerprint of events that were compared in full with the stored one and found equal.
    """
    if not stored and len(firsts) == len(events):
        return [Verdict.ACCEPTED] * len(events)
    verdicts = []
    for event in events:
        standing = stored.get(event.key)
        if standing is None:
            first = firsts[event.key]
            if first is event:
                verdicts.append(Verdict.ACCEPTED)
                continue
            standing = first.fingerprint
        equal = standing == event.fingerprint or (event.key, event.fingerprint) in same
        verdicts.append(Verdict.DUPLICATE if equal else Verdict.CONFLICT)
    return verdicts
