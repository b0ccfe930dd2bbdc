"""Where the cache says that an event goes, what it assumes, and when it cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.parsed_identifier import Key
from tests.identity.cached_graph import (
    ADDRESS,
    ANONYMOUS,
    BROWSER,
    OTHER,
    VERSION,
    A,
    B,
    C,
    cache_of_two,
    learned,
    place,
    rely,
)


@pytest.fixture
def cache() -> GraphCache:
    """One that knows two people, 1 and 3; profile 2 is 1's, too."""
    return cache_of_two()


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


def test_those_that_arrived_together_and_another_need_pairs_with_the_other_only(cache: GraphCache) -> None:
    together = ("email", "b@x.com")
    cache.remember(learned(owners={together: (1, -1), B: (1, -1)}))
    assert place(cache, A, B, together) is None
    cache.remember(learned(owners={}, pairs=[(A, together)]))
    assert place(cache, A, B, together) is None
    cache.remember(learned(owners={}, pairs=[(A, B)]))
    assert place(cache, A, B, together) == (1, 1, [])


def test_after_another_merge_each_of_several_has_to_be_looked_up_again(cache: GraphCache) -> None:
    cache.remember(learned(pairs=[(A, B)]))
    assert place(cache, A, B) == (1, 1, [])
    merged = VERSION._replace(people=2)
    assert cache.follow(merged)
    cache.remember(learned(merged, owners={A: (1, 11)}, persons={1: 1}))
    assert place(cache, A) == (1, 1, [])
    assert place(cache, A, B) is None
    assert place(cache, B, A) is None
    cache.remember(learned(merged))
    assert place(cache, A, B) == (1, 1, [])
