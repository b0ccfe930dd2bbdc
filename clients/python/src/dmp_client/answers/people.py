"""Answers about people: who they are and what is known of them. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

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
    """A person with one page of the timeline, in time order, and one page of possible matches."""

    internal_user_id: str
    identifiers: Identifiers
    events: Sequence[TimelineEntry] = ()
    merged_ids: Sequence[str] = ()
    possible_matches: Sequence[PossibleMatch] = ()
    next_page_token: str = ""
    next_matches_token: str = ""


class MatchedBy(msgspec.Struct, frozen=True, kw_only=True):
    """How an identifier was read. normalized: the spelling in which it is compared. ambiguous: several may have it."""

    identifier: str
    value: str
    normalized: str
    strength: str
    ambiguous: bool = False


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
