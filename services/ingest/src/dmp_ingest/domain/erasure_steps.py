"""Decides how an erasure of a person goes on: what it knows, and which step comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What identity has erased, or would erase."""

    internal_user_ids: list[str]
    """All ids of the person; the one that answers for the others is the first."""
    identifiers: int
    """How many identifiers; the next three fields likewise."""
    contacts: int
    merges: int
    timeline_entries: int
    finished: bool = True
    """Whether identity has nothing else about the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom to erase: a request names the person by an id or by a strong identifier. What it does not name is empty."""

    internal_user_id: str = ""
    """Any id of the person."""
    identifier: str = ""
    """The type of the identifier."""
    value: str = ""
    """The value of the identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """An event that an erasure has to look at."""

    event_id: str
    of_others: bool
    """Whether the event is somebody else's. It then only loses the erased person's values, if it has any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An erasure as it is now."""

    erasure_id: str
    whom: Whom
    requested_at: datetime
    erased: Erased | None
    """What identity has erased so far, None if it was not asked yet."""
    cleaned_events: int
    """How many events of the log have lost personal values so far."""
    complete: bool
    """Whether nothing is left to do."""


class ErasureStep(Enum):
    """What an erasure does next."""

    CLEAN_EVENTS = "clean events"
    """Take the person's values out of the events that identity lists, and ask again."""
    ERASE_MORE = "erase more"
    """Ask identity to go on, and again which events it lists."""
    FORGET_USERS = "forget users"
    """Let stats forget the person's user ids, and look again later."""
    WAIT = "wait"
    """Look again later."""
    COMPLETE = "complete"
    """Let stats forget the user ids once more, tell identity that the erasure is over, and end."""


def next_step(*, events_are_listed: bool, finished: bool, finished_before: bool, may_still_arrive: bool) -> ErasureStep:
    """The step that follows from what identity and the log say.

    events_are_listed: identity lists events that have to be looked at.
    finished: identity has nothing else about the person.
    finished_before: it had nothing else either when this turn began, so stats was asked to forget in an earlier one.
    may_still_arrive: events from before the erasure may still reach identity or stats.
    """
    if events_are_listed:
        return ErasureStep.CLEAN_EVENTS
    if not finished:
        return ErasureStep.ERASE_MORE
    if not may_still_arrive:
        return ErasureStep.COMPLETE
    return ErasureStep.WAIT if finished_before else ErasureStep.FORGET_USERS
