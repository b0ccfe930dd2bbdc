"""An erasure of a person, from the request to the last sweep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
