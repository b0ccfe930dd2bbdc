"""Reads a person by any of their ids, or by an identifier."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import psycopg

from dmp_chassis.database import Database, raw
from dmp_chassis.violations import InvalidArgument, Violations
from dmp_identity.adapters import profile_reads as reads
from dmp_identity.adapters.profile_reads import ShownIdentifier
from dmp_identity.adapters.timeline_pages import TimelineRow, timeline_page
from dmp_identity.domain.attribution import ownership
from dmp_identity.domain.errors import NoMatchError, ProfileNotFoundError
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy, IdentifierType
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import (
    page_size_violations,
    profile_id_asked_for,
    timeline_position,
    timeline_token,
    token_violation,
    unusable_value,
)
from dmp_identity.know_key_rules import one_as_stored

LARGEST_PAGE: Final = 1000
_SHOWN_CANDIDATES: Final = 100
_MATCHES_TOKEN: Final = re.compile("[1-9][0-9]{0,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    """A person without the timeline. `merged_ids`: the oldest first."""

    internal_user_id: str
    identifiers: list[ShownIdentifier]
    merged_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileView:
    """A person with a page of the timeline and one of possible matches: triples of an id, a type and a value."""

    person: PersonView
    events: list[TimelineRow]
    possible_matches: list[tuple[str, str, str]]
    next_page_token: str
    next_matches_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchView:
    """The person whom an identifier belongs to, how it was read, and who else has it."""

    person: PersonView
    parsed: ParsedIdentifier
    ambiguous: bool
    candidates: list[str] = field(default_factory=list)


async def read_profile(
    database: Database,
    policy: IdentifierPolicy,
    internal_user_id: str,
    *,
    page_size: int,
    page_token: str,
    matches_token: str = "",
) -> ProfileView:
    """The person and up to `page_size` entries (0 or too many: 1000). Raises ProfileNotFoundError,
    InvalidArgument.
    """
    problems = page_size_violations(page_size)
    after = timeline_position(page_token)
    if after is None:
        problems.append(token_violation())
    skip = int(matches_token) if _MATCHES_TOKEN.fullmatch(matches_token) else None
    if matches_token and skip is None:
        problems.append(token_violation("matches_token"))
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
        events = await timeline_page(connection, members, after, limit + 1)
        identifiers = await reads.identifiers_of(connection, members)
        weak = [(i.type, i.value) for i in identifiers if (kind := policy.types.get(i.type)) is None or not kind.strong]
        matches = await reads.possible_matches(connection, root, weak, skip or 0)
    more = len(events) > limit
    last = events[limit - 1] if more else None
    return ProfileView(
        person=_person(root, members, identifiers),
        events=events[:limit],
        possible_matches=[(public_id(person), kind, value) for person, kind, value in matches[: reads.MOST_MATCHES]],
        next_matches_token=str((skip or 0) + reads.MOST_MATCHES) if len(matches) > reads.MOST_MATCHES else "",
        next_page_token="" if last is None else timeline_token((last.occurred_at_us, last.event_id)),
    )


async def match_identifier(
    database: Database, parser: IdentifierParser, type_name: str, value: str, *, namespace: str = ""
) -> MatchView:
    """The person whom the identifier belongs to. Raises InvalidArgument, NoMatchError."""
    kind, parsed = _read_identifier(parser, type_name, value, namespace)
    async with database.read() as transaction:
        connection = raw(transaction)
        key = (await one_as_stored(connection, parser, parsed)).key
        if kind.strong:
            owner = await reads.owner_of(connection, key)
            profiles_with = []
        else:
            profiles_with = await reads.candidates_for(connection, key)
            of_all = profiles_with if len(profiles_with) <= kind.max_holders else []
            sole = ownership(of_all, identified_first=kind.identified_first).owner
            owner = None if sole is None else sole.person
        root = owner or await reads.anonymous_of(connection, key) or next((h.person for h in profiles_with), None)
        if root is None:
            raise NoMatchError(kind.name, plus_lost=" " in value)
        person = await view_person(connection, root)
    return MatchView(
        person=person,
        parsed=parsed,
        ambiguous=len(profiles_with) > 1 and owner is None,
        candidates=[public_id(h.person) for h in profiles_with[:_SHOWN_CANDIDATES]] if len(profiles_with) > 1 else [],
    )


def _read_identifier(
    parser: IdentifierParser, type_name: str, value: str, namespace: str
) -> tuple[IdentifierType, ParsedIdentifier]:
    """The identifier's type, by any name that events may give it, and its value, parsed. Raises InvalidArgument."""
    problems = Violations()
    kind = parser.policy.type_named(type_name)
    if not type_name:
        problems.add("identifier", "is required")
    elif kind is None:
        problems.add("identifier", f"must be one of {', '.join(parser.policy.types)}")
    if kind is not None and namespace and namespace not in {space for _, space in kind.normalise.namespaces}:
        problems.add("namespace", "is not a namespace of this type in the policy")
    qualified = f"{namespace}:{value}" if namespace and value.strip() else value
    unusable = unusable_value(value)
    parsed = None if kind is None or unusable else parser.parse(kind.name, qualified)
    if unusable:
        problems.add("value", unusable)
    elif not value.strip() or (kind is not None and parsed is None):
        problems.add("value", "is required; a + is written as %2B" if " " in value else "is required")
    if problems or kind is None or parsed is None:
        raise InvalidArgument(problems)
    return kind, parsed


async def view_person(connection: psycopg.AsyncConnection[object], root: int) -> PersonView:
    """A person by their oldest profile."""
    members = await reads.members_of(connection, root)
    return _person(root, members, await reads.identifiers_of(connection, members))


def _person(root: int, members: list[int], identifiers: list[ShownIdentifier]) -> PersonView:
    return PersonView(
        internal_user_id=public_id(root),
        identifiers=identifiers,
        merged_ids=[public_id(member) for member in members[1:]],
    )
