"""What DMP answers, typed. Fields that a later server adds are ignored. Times are aware datetimes in UTC unless a
docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec


class Identifiers(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a person. The singular fields are the values first seen, None if there is none."""

    email: str | None = None
    phone: str | None = None
    wallet_address: str | None = None
    emails: Sequence[str] = ()
    phones: Sequence[str] = ()
    wallet_addresses: Sequence[str] = ()
    user_ids: Sequence[str] = ()
    browser_ids: Sequence[str] = ()
    ip_addresses: Sequence[str] = ()


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a person. timestamp: Unix seconds."""

    event_id: str
    event_type: str
    source: str
    timestamp: float

    @property
    def at(self) -> datetime:
        """When it happened."""
        return datetime.fromtimestamp(self.timestamp, UTC)


class PossibleMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who shares a weak identifier and may be the same person."""

    internal_user_id: str
    identifier: str
    value: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person with one page of the timeline, in time order."""

    internal_user_id: str
    identifiers: Identifiers
    events: Sequence[TimelineEntry] = ()
    merged_ids: Sequence[str] = ()
    possible_matches: Sequence[PossibleMatch] = ()
    next_page_token: str = ""


class MatchedBy(msgspec.Struct, frozen=True, kw_only=True):
    """How an identifier was read. normalized: the spelling in which it is compared."""

    identifier: str
    value: str
    normalized: str
    strength: str


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Whose an identifier is. candidates: everybody who has a weak identifier, if several have."""

    internal_user_id: str
    identifiers: Identifiers
    match: MatchedBy
    candidates: Sequence[str] = ()


class Contact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A contact: the primary row and what is linked to it."""

    primary_contact_id: int
    emails: Sequence[str] = ()
    phone_numbers: Sequence[str] = ()
    secondary_contact_ids: Sequence[int] = ()


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """The person after a merge. merge_id: empty if there was nothing to merge."""

    internal_user_id: str
    identifiers: Identifiers
    merged_ids: Sequence[str] = ()
    merge_id: str = ""


class NeverMerge(msgspec.Struct, frozen=True, kw_only=True):
    """Two people who stay apart whatever evidence says. created_at: Unix seconds."""

    never_merge_id: str
    internal_user_ids: Sequence[str]
    reason: str = ""
    created_at: float = 0.0
    merge_id: str = ""


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What undoing a merge did."""

    merge_id: str
    internal_user_ids: Sequence[str]
    never_merges: Sequence[NeverMerge] = ()
    already_undone: bool = False


class MergeEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Two people who became one. evidence: the identifiers that connected them, as `type:value`."""

    survivor_id: str
    merged_id: str
    profile_ids: Sequence[str] = ()
    evidence: Sequence[str] = ()


class MergeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One merge in a person's history. Times are Unix seconds."""

    merge_id: str
    cause: str
    ref: str = ""
    source: str = ""
    reason: str = ""
    merged_at: float = 0.0
    edges: Sequence[MergeEdge] = ()
    undone: bool = False
    undone_at: float = 0.0
    undo_reason: str = ""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The merges of a person, and with whom it must never be merged."""

    internal_user_id: str
    merges: Sequence[MergeRecord] = ()
    never_merges: Sequence[NeverMerge] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One link of the chain between two identifiers or people. at: Unix seconds."""

    from_: str
    to: str
    cause: str = ""
    ref: str = ""
    source: str = ""
    at: float = 0.0
    rule: str = ""
    merge_id: str = ""


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """Why two people are not one."""

    rule: str
    identifier: str = ""
    message: str = ""
    ref: str = ""
    times: int = 0
    at: float = 0.0


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why two identifiers are one person, or why not. weakest_link: the position in `chain`, -1 without a chain."""

    same_person: bool
    from_user_id: str = ""
    to_user_id: str = ""
    chain: Sequence[Step] = ()
    weakest_link: int = -1
    objections: Sequence[Objection] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that was not followed, for a person to review. Times are Unix seconds."""

    rule: str
    identifier: str
    value: str
    internal_user_id: str = ""
    other_user_id: str = ""
    times: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    ref: str = ""
    source: str = ""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of an erasure: what was, or would be, erased. complete: nothing is left to do."""

    internal_user_ids: Sequence[str] = ()
    erasure_id: str = ""
    identifiers: int = 0
    contacts: int = 0
    merges: int = 0
    timeline_entries: int = 0
    cleaned_events: int = 0
    requested_at: datetime | None = None
    complete: bool = False
    dry_run: bool = False


class StatsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one bucket that starts at `ts`. group: of what, if the question grouped."""

    ts: datetime
    impressions: int = 0
    clicks: int = 0
    events: int = 0
    creative_id: str | None = None
    source: str | None = None
    type: str | None = None


class Stats(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A campaign's counts over a range, in order of time."""

    campaign_id: str
    from_: datetime
    to: datetime
    granularity: str
    series: Sequence[StatsPoint] = ()
    tz: str = "UTC"
    group_by: str = ""
    next_page_token: str = ""


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign and what it counted in a range."""

    campaign_id: str
    impressions: int = 0
    clicks: int = 0
    events: int = 0
    click_through_rate: float = 0.0
    last_activity: datetime | None = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The sliding window. by: for each grouped attribute the events of each of its values."""

    window_sec: int
    events_per_sec: float
    unique_users: int
    unknown: int
    unknown_users: int = 0
    events: int = 0
    generation: int = 0
    by: Mapping[str, Mapping[str, int]] = {}


class ReferenceWritten(msgspec.Struct, frozen=True, kw_only=True):
    """The reference table was replaced or changed."""

    message: str
    generation: int
    users: int = 0


class ReferenceState(msgspec.Struct, frozen=True, kw_only=True):
    """Which reference table is in force. ts: None if there never was one."""

    generation: int
    users: int
    ts: datetime | None = None


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the log holds it."""

    event_id: str
    type: str
    source: str = ""
    occurred_at: datetime | None = None
    campaign_id: str = ""
    creative_id: str = ""
    user_id: str = ""
    identifiers: Mapping[str, str] = {}
    metadata: Mapping[str, Any] | None = None
    received_at: datetime | None = None
    batch_id: str = ""


class EventFate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event: as stored, whether identity and stats have it, and whose it is."""

    event: StoredEvent
    delivered: bool = False
    internal_user_id: str = ""


class CellDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A minute of a campaign that is counted otherwise than logged."""

    campaign_id: str
    type: str
    minute: datetime | None = None
    logged: int = 0
    counted: int = 0


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what was counted is what was logged, in one range."""

    clean: bool
    events: int = 0
    cells: int = 0
    differences: Sequence[CellDifference] = ()
    unsettled: int = 0
    identified_events: int = 0
    timeline_entries: int = 0


class SystemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the whole system can do its work. degraded: what is missing without harm."""

    ok: bool = False
    status: str = ""
    degraded: Sequence[str] = ()
