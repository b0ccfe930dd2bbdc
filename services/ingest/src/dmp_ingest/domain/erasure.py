"""An erasure of a person, from the request to the last sweep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What identity has erased, or would erase. All ids of the person, the answering one first; how much of what.

    finished: identity has nothing else about the person.
    """

    internal_user_ids: list[str]
    identifiers: int
    contacts: int
    merges: int
    timeline_entries: int
    finished: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom to erase: any id of the person, or a strong identifier. Of an erasure under way either may be empty."""

    internal_user_id: str = ""
    identifier: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """An event that an erasure has to look at.

    of_others: it is somebody else's and only loses the erased person's values, if it shows any.
    """

    event_id: str
    of_others: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An erasure as it is now.

    erased: what identity has erased so far, None if it was not asked yet.
    cleaned_events: events of the log, so far.
    complete: nothing is left.
    """

    erasure_id: str
    whom: Whom
    requested_at: datetime
    erased: Erased | None
    cleaned_events: int
    complete: bool
