"""The cache of a small graph, and what it attributes: for the unit tests of the cache and of attributing by it."""

from __future__ import annotations

from typing import Any

from dmp_identity.domain.assumptions import Assumptions
from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.snapshot import GraphVersion
from dmp_identity.settings import load_policy

POLICY = load_policy()


VERSION = GraphVersion(server=7, people=1, evidence=1)


A, B, C = ("email", "a@x.com"), ("phone", "1"), ("user_id", "u")


BROWSER, OTHER, ADDRESS = ("browser_id", "b"), ("browser_id", "o"), ("ip_address", "1.1.1.1")


ANONYMOUS: dict[str, Any] = {"persons": {1: 1, 2: 1, 3: 3, 4: 4}, "anonymous": {BROWSER: 4}}


def read(*keys: Key) -> list[ParsedIdentifier]:
    """The identifiers, parsed."""
    identifiers = [IdentifierParser(POLICY).parse(*key) for key in keys]
    return [parsed for parsed in identifiers if parsed is not None]


def learned(version: GraphVersion = VERSION, **facts: Any) -> Learned:  # noqa: ANN401
    """Two people, 1 with two profiles, who arrived one after another."""
    known: dict[str, Any] = {
        "identified": {1, 2, 3},
        "after": version,
        "owners": {A: (1, 11), B: (2, 12), C: (3, 13)},
        "persons": {1: 1, 2: 1, 3: 3},
        "absorbed": {},
        "links": [(BROWSER, 1)],
        "pairs": [],
    }
    return Learned(version=version, **known | facts)


def cache_of_two() -> GraphCache:
    """A cache that knows the two."""
    made = GraphCache()
    assert made.follow(VERSION)
    made.remember(learned())
    return made


def place(cache: GraphCache, *keys: Key) -> tuple[int, int, list[Key]] | None:
    """Profile, person, and the links that are missing."""
    answer = EventAttributor(cache).attribute(read(*keys), 0)
    if answer is None:
        return None
    profile, missing = answer
    return profile.id, cache.person(profile), [parsed.key for parsed in missing]


def rely(cache: GraphCache, *keys: Key) -> tuple[int | None, Assumptions]:
    """The profile of an event at position 5, and what it relies on."""
    attributor = EventAttributor(cache)
    answer = attributor.attribute(read(*keys), 5)
    return None if answer is None else answer[0].id, attributor.assumptions
