"""What the cache of the graph says, and when it says nothing."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from sys import getsizeof
from typing import Any

import pytest

from dmp_identity.domain import graph_cache
from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.graph_cache import GraphCache, MergesSince
from dmp_identity.domain.normalisation import LONGEST_TEXT
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.snapshot import GraphVersion
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
    read,
    rely,
)
from tests.identity.graphs import Known, plan_for


@pytest.fixture
def cache() -> GraphCache:
    """One that knows two people, 1 and 3; profile 2 is 1's, too."""
    return cache_of_two()


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


@pytest.mark.parametrize(
    ("version", "reasons"),
    [
        (VERSION, []),
        (VERSION._replace(people=0), []),
        (VERSION._replace(people=2), ["merged_elsewhere"]),
        (VERSION._replace(evidence=2), ["changed_elsewhere"]),
        (VERSION._replace(people=2, evidence=2), ["changed_elsewhere"]),
        (VERSION._replace(server=6), ["changed_elsewhere"]),
        (VERSION._replace(server=6, people=0), ["changed_elsewhere"]),
    ],
)
def test_it_is_told_why_people_were_forgotten(version: GraphVersion, reasons: list[str]) -> None:
    told: list[str] = []
    cache = GraphCache()
    cache.forgot = told.append
    assert cache.follow(VERSION)
    epoch = cache.epoch
    cache.follow(version)
    assert told == reasons
    assert cache.epoch == epoch + len(reasons)


def test_after_more_merges_than_the_limit_people_are_forgotten() -> None:
    told: list[str] = []
    cache = GraphCache(limit=2)
    cache.forgot = told.append
    cache.follow(VERSION)
    version, epoch = VERSION, cache.epoch
    for person in (1, 2, 3):
        before, version = version, version._replace(people=version.people + 1)
        cache.remember(learned(before, after=version, owners={}, links=[], persons={}, absorbed={person: person + 1}))
        assert (told, cache.epoch) == (([], epoch) if person < 3 else (["merges"], epoch + 1))


def test_more_links_than_fit_into_memory_are_forgotten_with_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [(("browser_id", text), 1) for text in ("a", "b", "b")]
    told: list[str] = []
    cache = GraphCache()
    cache.forgot = told.append
    cache.follow(VERSION)
    # Two links of a character each; the third is one of them again.
    monkeypatch.setattr(graph_cache, "_KEPT_LINK_BYTES", 2 * (64 + getsizeof("a")))
    cache.remember(learned(links=links))
    assert (told, cache.are_one_person([A])) == ([], True)
    cache.remember(learned(links=[(("browser_id", "c"), 2)]))
    assert (told, cache.are_one_person([A])) == (["memory"], False)
    # From nothing: what was forgotten does not count any more.
    cache.remember(learned(links=links))
    assert (told, cache.are_one_person([A])) == (["memory"], True)


def test_merges_are_followed_to_the_end() -> None:
    merges = MergesSince(2)
    assert merges.add({1: 2})
    assert merges.add({2: 3})
    assert [merges.now(person) for person in (1, 2, 3, 4)] == [3, 3, 3, 4]
    assert [person in merges for person in (1, 2, 3)] == [True, True, False]
    assert not merges.add({5: 1})
    assert merges.now(5) == 3
    merges.clear()
    assert merges.now(1) == 1


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


@pytest.mark.parametrize(
    ("keys", "are"),
    [((), True), ((A,), True), ((A, B), True), ((A, C), False), ((A, ("email", "new@x.com")), False), ((C,), True)],
)
def test_identifiers_are_one_persons_if_all_are_known_to_be(
    cache: GraphCache, keys: tuple[Key, ...], are: bool
) -> None:
    assert cache.are_one_person(keys) is are


def test_after_another_merge_nobody_is_known_to_be_one_person(cache: GraphCache) -> None:
    assert cache.follow(VERSION._replace(people=2))
    assert not cache.are_one_person([A])
    assert not cache.are_one_person([A, B])


def test_only_what_may_not_be_stored_yet_is_stored(cache: GraphCache) -> None:
    cache.remember(learned(links=[(("ip_address", "1"), 1)], pairs=[(("email", "a"), ("phone", "1"))]))
    made = plan_for(
        [Known(1, "email:a"), Known(9, "phone:1", of=1)],
        ["email:a phone:1 ip_address:1", "email:a ip_address:2", "phone:1 ip_address:1"],
    )
    assert [(link.parsed.key, link.profile) for link in cache.links_to_store(made)] == [
        (("ip_address", "2"), 1),
        (("ip_address", "1"), 9),
    ]
    assert cache.new_pairs(made) == {}
    assert list(GraphCache().new_pairs(made)) == [(("email", "a"), ("phone", "1"))]
    assert len(GraphCache().links_to_store(made)) == 3
