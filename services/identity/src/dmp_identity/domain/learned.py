"""What a transaction teaches the cache of the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.snapshot import GraphVersion


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction found or stored, under the ids that are stored.

    version: the version of the graph on which the transaction decided.
    after: the version that it made, the same if it made none.
    owners: strong identifier that matches -> the profile at which it arrived, and a number for the observation in which
    it did, negative if that is one of this transaction.
    persons: profile -> person.
    absorbed: person -> the person it is part of since.
    links: weak identifiers that profiles have.
    pairs: strong identifiers that were seen together.
    profiles_with: weak identifier that may attribute -> all profiles that have it; none if they are too many for it to
    attribute.
    anonymous: identifier -> its anonymous profile.
    identified: people with a profile in `profiles_with` who have a strong identifier.
    """

    version: GraphVersion
    after: GraphVersion
    owners: Mapping[Key, tuple[int, int]]
    persons: Mapping[int, int]
    absorbed: Mapping[int, int]
    links: Iterable[tuple[Key, int]]
    pairs: Iterable[tuple[Key, Key]]
    profiles_with: Mapping[Key, Sequence[int]] = {}
    anonymous: Mapping[Key, int] = {}
    identified: Collection[int] = frozenset()

    @classmethod
    def of_links(cls, version: GraphVersion, links: Iterable[tuple[Key, int]]) -> Learned:
        """What is learned from links to profiles that exist."""
        return cls(version=version, after=version, owners={}, persons={}, absorbed={}, links=links, pairs=())
