"""Tells why two profiles or identifiers are one person, or why they are not; and draws a person as a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from dmp_chassis.database import Database, raw
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.adapters import explanation_reads as reads
from dmp_identity.adapters import merge_store, never_merge_store, profile_reads
from dmp_identity.adapters.explanation_reads import StoredRefusal
from dmp_identity.domain.errors import ProfileNotFoundError
from dmp_identity.domain.explain import Link, Node, SeenIdentifier, links_of_identifiers, shortest_chain, weakest
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.request_checks import profile_id_asked_for, unusable_value
from dmp_identity.know_key_rules import one_as_stored

_MOST_IDENTIFIERS: Final = 20_000
_DRAWN: Final = 2000
_SHOWN_WEAK: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why two ends are not one person. `at_us` 0: at no time in particular."""

    rule: str
    message: str
    key: Key | None = None
    ref: str = ""
    times: int = 0
    at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`from_root`, `to_root`: the people, None if nobody has the identifier."""

    from_root: int | None
    to_root: int | None
    chain: list[Link] = field(default_factory=list)
    weakest_link: int = -1
    objections: list[Objection] = field(default_factory=list)

    @property
    def same_person(self) -> bool:
        """True if nothing speaks against it and both ends have a person, the same."""
        return self.from_root is not None and self.from_root == self.to_root and not self.objections


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonGraph:
    """A person's arrivals, weak identifiers (profile, key, time) and the links between profiles."""

    root: int
    members: list[int]
    arrivals: list[SeenIdentifier]
    weak: list[tuple[int, Key, int]]
    links: list[Link]
    merges: list[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class _End:
    """One end as it was given: a profile, or an identifier and the people who have it."""

    profile: int | None
    parsed: ParsedIdentifier | None
    roots: list[int]

    @property
    def root(self) -> int | None:
        return self.roots[0] if len(self.roots) == 1 else None

    @property
    def weak(self) -> bool:
        return self.parsed is not None and self.parsed.type is not None and not self.parsed.type.strong


async def explain_link(database: Database, parser: IdentifierParser, start: str, end: str) -> Explanation:
    """Explains two ends, each a profile's id or `type:value`. Raises InvalidArgument, ProfileNotFoundError."""
    given = {"from": _read_end(parser, start), "to": _read_end(parser, end)}
    problems = [Violation(name, read) for name, read in given.items() if isinstance(read, str)]
    if problems:
        raise InvalidArgument(problems)
    async with database.read() as transaction:
        connection = raw(transaction)
        ends = [await _find_end(connection, parser, read) for read in given.values() if not isinstance(read, str)]
        first, second = ends
        if first.root is not None and first.root == second.root and not (first.weak or second.weak):
            chain = await _chain(connection, parser.policy, first, second)
            return Explanation(from_root=first.root, to_root=second.root, chain=chain, weakest_link=weakest(chain))
        return Explanation(
            from_root=first.root, to_root=second.root, objections=await _objections(connection, first, second)
        )


async def read_graph(database: Database, policy: IdentifierPolicy, internal_user_id: str) -> PersonGraph:
    """The person as a graph. Raises ProfileNotFoundError."""
    profile_id = profile_id_asked_for(internal_user_id)
    async with database.read() as transaction:
        connection = raw(transaction)
        root = await profile_reads.find_root(connection, profile_id)
        if root is None:
            raise ProfileNotFoundError(internal_user_id)
        members = await profile_reads.members_of(connection, root)
        arrivals = await reads.arrivals_at(connection, members, _strengths(policy), _DRAWN)
        merges = await merge_store.active_merges(connection, members)
        return PersonGraph(
            root=root,
            members=members,
            arrivals=arrivals,
            weak=await profile_reads.weak_identifiers_of(connection, members, _DRAWN - len(arrivals)),
            links=await reads.pairs_among(connection, [seen.key for seen in arrivals]),
            merges=[(a, b, merge.id) for merge in merges for a, b in merge.edges],
        )


def _read_end(parser: IdentifierParser, text: str) -> int | ParsedIdentifier | str:
    """A profile's number, an identifier, or what is wrong with the text."""
    if not text.strip():
        return "is required"
    if unusable := unusable_value(text):
        return unusable
    type_name, colon, value = text.partition(":")
    if not colon:
        return profile_id_asked_for(text)
    kind = parser.policy.type_named(type_name)
    if kind is None:
        return f"must be a profile's id or type:value with one of the types {', '.join(parser.policy.types)}"
    return parser.parse(kind.name, value) or "must have a value after the colon"


async def _find_end(
    connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, read: int | ParsedIdentifier
) -> _End:
    if isinstance(read, int):
        root = await profile_reads.find_root(connection, read)
        if root is None:
            raise ProfileNotFoundError(public_id(read))
        return _End(read, None, [root])
    read = await one_as_stored(connection, parser, read)
    if read.type is not None and not read.type.strong:
        return _End(
            None, read, [candidate.person for candidate in await profile_reads.candidates_for(connection, read.key)]
        )
    owner = await profile_reads.owner_of(connection, read.key)
    return _End(None, read, [] if owner is None else [owner])


async def _chain(
    connection: psycopg.AsyncConnection[Any], policy: IdentifierPolicy, first: _End, second: _End
) -> list[Link]:
    assert first.root is not None
    members = await profile_reads.members_of(connection, first.root)
    arrivals = await reads.arrivals_at(connection, members, _strengths(policy), _MOST_IDENTIFIERS)
    at_profile: dict[int, list[Node]] = {}
    for seen in arrivals:
        at_profile.setdefault(seen.profile, []).append(seen.key)

    def nodes(profile: int) -> list[Node]:
        return at_profile.get(profile, [("profile", public_id(profile))])

    # Merges first: of two links between the same ends the chain shows the one that can be undone.
    links: list[Link] = []
    for merge in await merge_store.merges_of(connection, members):
        if merge.undone_at_us is None:
            links += [
                Link(
                    a=edge.key_a or nodes(edge.profile_a)[0],
                    b=edge.key_b or nodes(edge.profile_b)[0],
                    cause=merge.cause,
                    ref=merge.ref or merge.id,
                    source=merge.source or merge.reason,
                    at_us=merge.merged_at_us,
                    rule="confirmed" if merge.cause == "manual" else "merged",
                    merge_id=merge.id,
                )
                for edge in merge.edges
            ]
    links += links_of_identifiers(arrivals)
    links += await reads.pairs_among(connection, [seen.key for seen in arrivals])
    starts, ends = (
        nodes(one.profile) if one.profile is not None else [one.parsed.key] if one.parsed is not None else []
        for one in (first, second)
    )
    return shortest_chain(links, starts, frozenset(ends)) or []


async def _objections(connection: psycopg.AsyncConnection[Any], first: _End, second: _End) -> list[Objection]:
    found: list[Objection] = []
    for end in (first, second):
        found += _objections_to(end)
    keys = [end.parsed.key for end in (first, second) if end.parsed is not None]
    of_first, of_second = [
        await profile_reads.members_of(connection, end.root) if end.root is not None else [] for end in (first, second)
    ]
    if of_first and of_second and first.root != second.root:
        for kept in await never_merge_store.never_merges_of(connection, of_first):
            if kept.profile_a in of_second or kept.profile_b in of_second:
                message = f"they are kept apart: {kept.reason}"
                found.append(Objection(rule="never_merge", message=message, ref=kept.id, at_us=kept.created_at_us))
        for key in await reads.shared_weak_identifiers(connection, of_first, of_second, _SHOWN_WEAK):
            found.append(
                Objection(rule="weak_only", message="they share it, but it is weak and proves nothing", key=key)
            )
    refusals = await reads.refusals_between(connection, of_first, of_second, keys)
    found += [_objection_of(refusal) for refusal in refusals]
    return found or [Objection(rule="no_connection", message="nothing that is known connects them")]


def _objections_to(end: _End) -> list[Objection]:
    parsed = end.parsed
    if parsed is None:
        return []
    if end.weak:
        message = f"it is weak and proves nothing; {len(end.roots)} people have it"
        return [Objection(rule="weak_only", message=message, key=parsed.key)]
    if parsed.refusal_reason is not None:
        return [
            Objection(rule=parsed.refusal_reason.value, message="the policy does not follow this value", key=parsed.key)
        ]
    if not end.roots:
        return [Objection(rule="no_connection", message="nobody has it", key=parsed.key)]
    return []


def _objection_of(refusal: StoredRefusal) -> Objection:
    return Objection(
        rule=refusal.rule,
        message="evidence was refused under this rule",
        key=(refusal.type, refusal.value),
        ref=refusal.ref,
        times=refusal.times,
        at_us=refusal.last_at_us,
    )


def _strengths(policy: IdentifierPolicy) -> dict[str, bool]:
    return {name: kind.strong for name, kind in policy.types.items()}
