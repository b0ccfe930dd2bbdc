"""Gives everything that identity holds about a person, the timeline in pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from dmp_chassis.database import Database, raw
from dmp_chassis.violations import InvalidArgument
from dmp_identity.adapters import merge_store, never_merge_store
from dmp_identity.adapters import profile_reads as reads
from dmp_identity.adapters.contact_store import load_contact_values, load_contacts
from dmp_identity.adapters.merge_store import StoredMerge
from dmp_identity.adapters.never_merge_store import StoredNeverMerge
from dmp_identity.adapters.profile_reads import ExportedIdentifier
from dmp_identity.adapters.timeline_pages import TimelineRow, timeline_page
from dmp_identity.domain.contacts import ContactAnswer, ContactBook, ContactRow
from dmp_identity.domain.errors import ProfileNotFoundError
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.request_checks import (
    page_size_violations,
    profile_id_asked_for,
    timeline_position,
    timeline_token,
    token_violation,
)

LARGEST_PAGE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileExport:
    """Everything; pages after the first have `events` only. events: with the profile at which each arrived."""

    root: int
    members: list[int] = field(default_factory=list)
    identifiers: list[ExportedIdentifier] = field(default_factory=list)
    contacts: list[ContactRow] = field(default_factory=list)
    answer: ContactAnswer | None = None
    merges: list[StoredMerge] = field(default_factory=list)
    never_merges: list[StoredNeverMerge] = field(default_factory=list)
    events: list[tuple[TimelineRow, int]]
    next_page_token: str


async def export_profile(
    database: Database, parser: IdentifierParser, internal_user_id: str, *, page_size: int, page_token: str
) -> ProfileExport:
    """One page of a person's data. Raises InvalidArgument, ProfileNotFoundError."""
    problems = page_size_violations(page_size)
    after = timeline_position(page_token)
    if after is None:
        problems.append(token_violation())
    if problems or after is None:
        raise InvalidArgument(problems)
    limit = min(page_size or LARGEST_PAGE, LARGEST_PAGE)
    profile_id = profile_id_asked_for(internal_user_id)
    async with database.read() as transaction:
        connection = raw(transaction)
        root = await reads.find_root(connection, profile_id)
        if root is None:
            raise ProfileNotFoundError(internal_user_id)
        members = await reads.members_of(connection, root)
        rows = await timeline_page(connection, members, after, limit + 1)
        more = len(rows) > limit
        token = timeline_token((rows[limit - 1].occurred_at_us, rows[limit - 1].event_id)) if more else ""
        events = [(row, row.profile) for row in rows[:limit]]
        if page_token:
            return ProfileExport(root=root, events=events, next_page_token=token)
        contacts = await load_contacts(connection, [root])
        known = await load_contact_values(connection, [root])
        book = ContactBook(contacts, known, now=datetime.now(UTC), compared=parser.compared)
        return ProfileExport(
            root=root,
            members=members,
            identifiers=await reads.exported_identifiers(connection, members),
            contacts=list(book.rows(root)),
            answer=book.answer(root) if contacts else None,
            merges=[_own_part_of(merge) for merge in await merge_store.merges_of(connection, members)],
            never_merges=await never_merge_store.never_merges_of(connection, members),
            events=events,
            next_page_token=token,
        )


def _own_part_of(merge: StoredMerge) -> StoredMerge:
    """The merge as it concerns this person. The evidence of an undone one is left out: half of it is of others."""
    if merge.undone_at_us is None:
        return merge
    edges = tuple(msgspec.structs.replace(edge, key_a=None, key_b=None) for edge in merge.edges)
    return msgspec.structs.replace(merge, edges=edges)
