"""What a resolved batch changes. Profiles that do not exist yet have negative ids: -1 is the first one, -2 the
second.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from dmp_identity.domain.parsed_identifier import Key, Observation, ParsedIdentifier
from dmp_identity.domain.refusal_reason import RefusalReason


class NewProfile(msgspec.Struct, gc=False):
    """A profile to create.

    id: below 0, until it is stored.
    identified: True if it has a strong identifier or, if it is the oldest of its person, if that person has one.
    """

    id: int
    created_at_us: int
    identified: bool


class NewIdentifier(msgspec.Struct, frozen=True, gc=False):
    """A strong identifier to add to a profile.

    via: the known identifier that it came with, which brought it to this profile: a weak one if a browser or device
    did. None if the profile began with it.
    observation: the event or request that showed it.
    """

    parsed: ParsedIdentifier
    profile: int
    via: Key | None
    observation: Observation


class NewLink(msgspec.Struct, frozen=True, gc=False):
    """A weak identifier to add to a profile."""

    parsed: ParsedIdentifier
    profile: int


class MergeEdge(msgspec.Struct, frozen=True, gc=False):
    """Two people become one, or became one.

    survivor: the older person, who goes on.
    merged: the person who becomes part of it.
    profile_a, profile_b: the two profiles that the edge connects: one of the survivor, one of the merged.
    key_a, key_b: the evidence: an identifier of each; None if a person decided.
    """

    survivor: int
    merged: int
    profile_a: int
    profile_b: int
    key_a: Key | None
    key_b: Key | None


class NewMerge(msgspec.Struct, frozen=True, gc=False):
    """One act of merging: all edges that one event, request or decision made.

    cause, ref, source: what made it; see `MergeAct`.
    reason: what the person who decided wrote; empty if evidence did.
    identifiers: how many strong identifiers the person has then.
    """

    cause: str
    ref: str
    source: str
    edges: tuple[MergeEdge, ...]
    reason: str = ""
    identifiers: int = 0


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Evidence that was not followed.

    rule: why not.
    key: the identifier.
    profile: where the event went.
    other: the person whom it would have been joined with, 0 if nobody.
    ref, source: the event that showed it, and who sent that.
    """

    rule: RefusalReason
    key: Key
    profile: int
    other: int
    ref: str
    source: str


@dataclass(slots=True, kw_only=True)
class Plan:
    """Everything to store for a batch.

    placements: for each observation the profile it goes to, 0 if it shows nothing.
    profiles: profiles to create.
    persons: new profile -> person.
    identifiers: strong identifiers to add.
    links: weak identifiers to add of which it matters who has them.
    unchecked_links: other weak identifiers; whether the profile has one already was not looked up.
    links_seen: weak identifiers that a profile had already and that were seen again.
    anonymous: identifier -> its new anonymous profile.
    identified: existing people that were anonymous until now.
    merges: acts of merging people, in order.
    absorbed: existing person -> the person it is part of now.
    shared: strong identifiers that match nobody from now on.
    pairs: strong identifiers that were seen together, the smaller first, unless their arrival tells it anyway.
    refusals: evidence that was not followed.
    """

    placements: list[int] = field(default_factory=list)
    profiles: list[NewProfile] = field(default_factory=list)
    persons: dict[int, int] = field(default_factory=dict)
    identifiers: list[NewIdentifier] = field(default_factory=list)
    links: list[NewLink] = field(default_factory=list)
    unchecked_links: dict[tuple[Key, int], NewLink] = field(default_factory=dict)
    links_seen: set[tuple[Key, int]] = field(default_factory=set)
    anonymous: dict[Key, int] = field(default_factory=dict)
    identified: set[int] = field(default_factory=set)
    merges: list[NewMerge] = field(default_factory=list)
    absorbed: dict[int, int] = field(default_factory=dict)
    shared: list[Key] = field(default_factory=list)
    pairs: dict[tuple[Key, Key], Observation] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def structural(self) -> bool:
        """True if the graph itself changes: it must then have been resolved under locks."""
        return bool(
            self.profiles
            or self.identifiers
            or self.links
            or self.anonymous
            or self.merges
            or self.shared
            or self.identified
        )

    @property
    def changes_people(self) -> bool:
        """True if people that others can see already are merged or stop being anonymous."""
        return bool(self.absorbed or self.identified)
