"""An erasure of a person, from the request to the last sweep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What identity has erased, or would erase. All ids of the person, the answering one first; how much of what."""

    internal_user_ids: list[str]
    identifiers: int
    contacts: int
    merges: int
    timeline_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """erased: None until identity has erased. cleaned_events: events of the log, so far. complete: nothing is left."""

    erasure_id: str
    internal_user_id: str
    requested_at: datetime
    erased: Erased | None
    cleaned_events: int
    complete: bool
