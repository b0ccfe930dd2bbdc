"""What the cache of the graph says, and when it says nothing."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import pytest

from dmp_identity.domain.assumptions import Assumptions
from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.normalisation import LONGEST_TEXT
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


@pytest.fixture
def cache() -> GraphCache:
    """One that knows the two."""
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


def test_a_known_identifier_says_profile_person_and_missing_links(cache: GraphCache) -> None:
    assert place(cache, A) == (1, 1, [])
    assert place(cache, BROWSER, A, A) == (1, 1, [])
    assert place(cache, B, BROWSER, ("ip_address", "1.1.1.1")) == (2, 1, [BROWSER, ("ip_address", "1.1.1.1")])


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (BROWSER,),
        (("email", "new@x.com"),),
        (A, ("email", "new@x.com")),
        (A, ("email", "null")),
        (A, ("shoe", "42")),
    ],
)
def test_what_is_unknown_or_refused_is_not_placed(cache: GraphCache, keys: tuple[Key, ...]) -> None:
    assert place(cache, *keys) is None


def test_several_identifiers_need_one_person_and_known_pairs(cache: GraphCache) -> None:
    assert place(cache, A, B) is None
    cache.remember(learned(pairs=[(A, B)]))
    assert place(cache, B, A) == (1, 1, [])
    assert place(cache, A, C) is None
    cache.remember(learned(pairs=[(A, C), (B, C)]))
    assert place(cache, A, C) is None
    cache.remember(learned(persons={1: 1, 2: 1, 3: 1}))
    assert place(cache, A, B, C) == (3, 1, [])


def test_what_arrived_together_was_seen_together(cache: GraphCache) -> None:
    other = ("email", "b@x.com")
    cache.remember(learned(owners={other: (1, -1), B: (1, -1)}))
    assert place(cache, other, B) == (1, 1, [])
    cache.remember(learned(owners={A: (1, -1)}))
    assert place(cache, other, A) is None


def test_a_merge_moves_everybody_who_belonged_to_the_merged(cache: GraphCache) -> None:
    after = VERSION._replace(people=2)
    cache.remember(learned(after=after, owners={}, persons={3: 3}, absorbed={1: 3}))
    assert place(cache, B) == (2, 3, [])
    assert cache.follow(after)
    assert place(cache, B) == (2, 3, [])


@pytest.mark.parametrize(
    "version",
    [VERSION._replace(people=2), VERSION._replace(evidence=2), VERSION._replace(server=6)],
)
def test_another_version_is_believed_at_once(cache: GraphCache, version: GraphVersion) -> None:
    assert cache.follow(version)
    assert place(cache, A) is None
    cache.remember(learned())
    assert place(cache, A) is None
    cache.remember(learned(version))
    assert place(cache, A) == (1, 1, [])


def test_a_version_that_is_past_is_told(cache: GraphCache) -> None:
    assert cache.follow(VERSION._replace(people=3))
    assert not cache.follow(VERSION)
    assert not cache.follow(VERSION._replace(people=2, evidence=9))


def test_a_transaction_that_others_came_between_teaches_nothing(cache: GraphCache) -> None:
    cache.remember(learned(after=VERSION._replace(people=3), absorbed={1: 3}))
    cache.remember(learned(after=VERSION._replace(evidence=2), persons={1: 9}))
    assert place(cache, A) == (1, 1, [])


def test_links_and_pairs_outlive_a_merge_but_not_an_erasure(cache: GraphCache) -> None:
    cache.remember(learned(pairs=[(A, B)]))
    assert cache.follow(VERSION._replace(people=2))
    cache.remember(learned(VERSION._replace(people=2), links=[], pairs=[]))
    assert place(cache, A, B, BROWSER) == (1, 1, [])
    gone = VERSION._replace(people=2, evidence=2)
    assert cache.follow(gone)
    cache.remember(learned(gone, links=[], pairs=[]))
    assert place(cache, A, B) is None
    assert place(cache, A, BROWSER) == (1, 1, [BROWSER])


def test_the_oldest_entries_go_when_there_are_too_many() -> None:
    cache = GraphCache(limit=20)
    cache.follow(VERSION)
    for n in range(100):
        cache.remember(learned(owners={("user_id", f"u{n}"): (n, 1)}, persons={n: n}, links=[]))
        assert place(cache, ("user_id", "u0")) == (0, 0, [])
    known = [n for n in range(100) if place(cache, ("user_id", f"u{n}")) is not None]
    assert 10 <= len(known) <= 20
    assert set(range(91, 100)) <= set(known)


def test_one_profile_does_not_fill_the_cache(cache: GraphCache) -> None:
    cache.remember(learned(links=[(("ip_address", f"10.0.{n // 256}.{n % 256}"), 1) for n in range(5000)]))
    answer = EventAttributor(cache).attribute(read(A), 0)
    assert answer is not None
    assert len(answer[0].links) <= 1000


def rely(cache: GraphCache, *keys: Key) -> tuple[int | None, Assumptions]:
    """The profile of an event at position 5, and what it relies on."""
    attributor = EventAttributor(cache)
    answer = attributor.attribute(read(*keys), 5)
    return None if answer is None else answer[0].id, attributor.assumptions


def test_the_event_of_a_browser_goes_to_the_only_profile_that_has_it(cache: GraphCache) -> None:
    cache.remember(learned(profiles_with={BROWSER: [1]}))
    assert place(cache, BROWSER, ADDRESS) == (1, 1, [ADDRESS])
    # Twice the same is no more than once.
    for keys in (BROWSER,), (BROWSER, BROWSER), (ADDRESS, BROWSER):
        profile, assumptions = rely(cache, *keys)
        assert profile == 1
        assert (assumptions.profiles_with, assumptions.events) == ({BROWSER: 1}, {BROWSER: [5]})
        assert (assumptions.anonymous, assumptions.apart) == (set(), set())


def test_the_event_of_a_browser_of_one_person_goes_to_the_profile_made_first(cache: GraphCache) -> None:
    cache.remember(learned(profiles_with={BROWSER: [2, 1]}))
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 1
    assert (assumptions.profiles_with, assumptions.events) == ({BROWSER: 2}, {BROWSER: [5]})
    assert (assumptions.anonymous, assumptions.apart) == (set(), set())


def test_the_event_of_a_browser_of_several_people_goes_to_its_anonymous_profile(cache: GraphCache) -> None:
    cache.remember(learned(profiles_with={BROWSER: [1, 2, 3]}))
    assert place(cache, BROWSER) is None
    cache.remember(learned(**ANONYMOUS))
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 4
    # That others get it, too, makes no difference; that its people become one does.
    assert (assumptions.profiles_with, assumptions.anonymous) == ({}, {(BROWSER, 4)})
    assert assumptions.apart == {1, 3, 4}
    assert set(assumptions.events[BROWSER]) == {5}


def test_the_event_of_a_browser_of_one_known_person_goes_there_whoever_else_browsed_before(
    cache: GraphCache,
) -> None:
    people = {1: 1, 2: 1, 3: 3, 4: 4, 5: 5}
    cache.remember(learned(persons=people, profiles_with={BROWSER: [4, 3, 5]}, identified={3}, anonymous={BROWSER: 4}))
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 3
    # It may be somebody else's once one more has it, or one of the others is known, too.
    assert assumptions.profiles_with == {BROWSER: 3}
    assert (assumptions.anonymous, assumptions.apart) == ({(BROWSER, 4), (BROWSER, 5)}, {4, 5})


def test_the_event_of_a_browser_of_several_strangers_waits_for_one_to_be_known(cache: GraphCache) -> None:
    people = {4: 4, 5: 5}
    facts: dict[str, Any] = {"owners": {}, "links": [], "persons": people, "profiles_with": {BROWSER: [4, 5]}}
    cache.remember(learned(**facts, identified=(), anonymous={BROWSER: 4}))
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 4
    assert assumptions.profiles_with == {BROWSER: 2}
    assert (assumptions.anonymous, assumptions.apart) == ({(BROWSER, 4), (BROWSER, 5)}, {4, 5})


def test_a_browser_that_too_many_have_says_nothing_for_ever(cache: GraphCache) -> None:
    cache.remember(learned(**ANONYMOUS, profiles_with={BROWSER: ()}))
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 4
    assert (assumptions.profiles_with, assumptions.anonymous, assumptions.apart) == ({}, {(BROWSER, 4)}, {4})


def test_what_attributes_nothing_goes_to_its_anonymous_profile(cache: GraphCache) -> None:
    cache.remember(learned(owners={}, persons={4: 4}, anonymous={ADDRESS: 4}))
    profile, assumptions = rely(cache, ADDRESS)
    assert profile == 4
    assert (assumptions.anonymous, assumptions.events, assumptions.apart) == ({(ADDRESS, 4)}, {ADDRESS: [5]}, {4})
    # An address stands behind a browser, and who has that is not known.
    assert place(cache, ADDRESS, BROWSER) is None
    assert place(cache, ADDRESS, ("email", "null")) is None


def test_a_browser_that_says_something_counts_after_one_that_does_not(cache: GraphCache) -> None:
    cache.remember(learned(profiles_with={OTHER: [3]}))
    assert place(cache, BROWSER, OTHER) is None
    cache.remember(learned(profiles_with={BROWSER: [1, 3]}))
    profile, assumptions = rely(cache, BROWSER, OTHER)
    assert profile == 3
    assert (assumptions.profiles_with, assumptions.apart) == ({OTHER: 1}, {1, 3})
    assert assumptions.events == {BROWSER: [5], OTHER: [5]}


def test_a_strong_identifier_relies_on_no_browser(cache: GraphCache) -> None:
    cache.remember(learned(**ANONYMOUS, profiles_with={BROWSER: [1, 3]}))
    profile, assumptions = rely(cache, BROWSER, C)
    assert profile == 3
    assert (assumptions.profiles_with, assumptions.anonymous, assumptions.apart, assumptions.events) == (
        {},
        set(),
        set(),
        {},
    )


def test_people_who_became_one_have_a_browser_as_one(cache: GraphCache) -> None:
    cache.remember(learned(**ANONYMOUS, profiles_with={BROWSER: [2, 3], OTHER: [3]}))
    assert place(cache, BROWSER) == (4, 4, [BROWSER])
    cache.remember(learned(after=VERSION._replace(people=2), owners={}, absorbed={3: 1}))
    assert place(cache, OTHER) == (3, 1, [OTHER])
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 2
    assert (assumptions.profiles_with, assumptions.apart) == ({BROWSER: 2}, set())


def test_the_person_of_an_anonymous_profile_is_the_one_that_it_is_part_of_now(cache: GraphCache) -> None:
    cache.remember(learned(**ANONYMOUS, profiles_with={BROWSER: ()}))
    cache.remember(learned(after=VERSION._replace(people=2), owners={}, absorbed={4: 3}))
    profile, assumptions = rely(cache, BROWSER)
    assert profile == 4
    assert (assumptions.anonymous, assumptions.apart) == ({(BROWSER, 3)}, {3})


def test_after_another_merge_it_is_not_known_whether_its_profiles_are_one_person(cache: GraphCache) -> None:
    cache.remember(learned(**ANONYMOUS, profiles_with={BROWSER: [1, 3], OTHER: [1], ("browser_id", "s"): [1, 2]}))
    merged = VERSION._replace(people=2)
    assert cache.follow(merged)
    assert place(cache, OTHER) is None
    cache.remember(learned(merged, persons=ANONYMOUS["persons"]))
    assert place(cache, BROWSER) is None
    assert place(cache, ("browser_id", "s")) is None
    # One profile is one person, whoever that is.
    assert place(cache, OTHER) == (1, 1, [OTHER])


def test_after_another_merge_it_is_not_known_whose_the_anonymous_profile_is(cache: GraphCache) -> None:
    cache.remember(learned(**ANONYMOUS, profiles_with={BROWSER: ()}))
    assert rely(cache, BROWSER)[0] == 4
    undone = VERSION._replace(people=2)
    assert cache.follow(undone)
    cache.remember(learned(undone, persons=ANONYMOUS["persons"]))
    # While 4 was identified, there may have been another one.
    assert rely(cache, BROWSER)[0] is None
    cache.remember(learned(undone, **ANONYMOUS))
    assert rely(cache, BROWSER)[0] == 4


def test_a_browser_is_looked_up_again_after_an_erasure(cache: GraphCache) -> None:
    known: dict[str, Any] = {"persons": {1: 1, 4: 4}, "owners": {}, "links": []}
    cache.remember(learned(**known, profiles_with={OTHER: [1], BROWSER: ()}, anonymous={BROWSER: 4, ADDRESS: 4}))
    assert [rely(cache, key)[0] for key in (OTHER, BROWSER, ADDRESS)] == [1, 4, 4]
    erased = VERSION._replace(evidence=2)
    assert cache.follow(erased)
    cache.remember(learned(erased, **known))
    assert [rely(cache, key)[0] for key in (OTHER, BROWSER, ADDRESS)] == [None, None, None]
    cache.remember(learned(erased, **known, anonymous={BROWSER: 4}))
    assert place(cache, BROWSER) is None
    cache.remember(learned(erased, **known, profiles_with={BROWSER: ()}))
    assert rely(cache, BROWSER)[0] == 4


@pytest.mark.parametrize("kind", ["owners", "pairs", "links", "profiles_with", "anonymous"])
def test_entries_with_the_longest_texts_take_a_bounded_amount_of_memory(kind: str) -> None:
    cache, entries, most_bytes = GraphCache(), 0, 0
    assert cache.follow(VERSION)
    tracemalloc.start()
    try:
        for batch in range(20 if kind != "links" else 45):
            texts = [f"{batch}-{number}-".ljust(LONGEST_TEXT, "\U0001f600") for number in range(1000)]
            keys = [("email", text) for text in texts]
            facts: dict[str, Any] = {"owners": {}, "links": [], "pairs": [], "persons": {}, "identified": set()}
            profiles = range(batch * 1000 + 1, batch * 1000 + 1001)
            facts["persons"] = {number: number for number in profiles}
            if kind == "owners":
                facts["owners"] = {key: (number, 1) for key, number in zip(keys, profiles, strict=True)}
            elif kind == "pairs":
                facts["pairs"] = list(pairwise(keys))
            elif kind == "links":
                facts["links"] = list(zip(keys, profiles, strict=True))
            elif kind == "profiles_with":
                facts["profiles_with"] = {key: [number] for key, number in zip(keys, profiles, strict=True)}
            else:
                facts["anonymous"] = dict(zip(keys, profiles, strict=True))
            cache.remember(learned(**facts))
            entries += len(keys)
            del texts, keys, facts
            most_bytes = max(most_bytes, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    sent_bytes = entries * LONGEST_TEXT * 4
    assert most_bytes < (320 if kind == "links" else 100) << 20 < sent_bytes
