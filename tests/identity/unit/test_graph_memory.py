"""What the memory of the graph says, and when it says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.graph_memory import GraphMemory, Learned, Reliance
from dmp_identity.domain.reading import Key, PolicyReader, Reading
from dmp_identity.domain.snapshot import GraphVersion
from dmp_identity.settings import load_policy

READER = PolicyReader(load_policy())
VERSION = GraphVersion(server=7, people=1, evidence=1)
A, B, C = ("email", "a@x.com"), ("phone", "1"), ("user_id", "u")
BROWSER, OTHER, ADDRESS = ("browser_id", "b"), ("browser_id", "o"), ("ip_address", "1.1.1.1")
ANONYMOUS: dict[str, Any] = {"persons": {1: 1, 2: 1, 3: 3, 4: 4}, "anonymous": {BROWSER: 4}}


def read(*keys: Key) -> list[Reading]:
    """The readings of identifiers."""
    readings = [READER.read(*key) for key in keys]
    return [reading for reading in readings if reading is not None]


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
def memory() -> GraphMemory:
    """One that knows the two."""
    made = GraphMemory()
    assert made.follow(VERSION)
    made.remember(learned())
    return made


def place(memory: GraphMemory, *keys: Key) -> tuple[int, int, list[Key]] | None:
    """Profile, person, and the links that are missing."""
    missing: list[Reading] = []
    profile = memory.place(read(*keys), missing, Reliance(), 0)
    return None if profile is None else (profile.id, memory.person(profile), [reading.key for reading in missing])


def test_a_known_identifier_says_profile_person_and_missing_links(memory: GraphMemory) -> None:
    assert place(memory, A) == (1, 1, [])
    assert place(memory, BROWSER, A, A) == (1, 1, [])
    assert place(memory, B, BROWSER, ("ip_address", "1.1.1.1")) == (2, 1, [BROWSER, ("ip_address", "1.1.1.1")])


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
def test_what_is_unknown_or_flawed_is_not_placed(memory: GraphMemory, keys: tuple[Key, ...]) -> None:
    assert place(memory, *keys) is None


def test_several_identifiers_need_one_person_and_known_pairs(memory: GraphMemory) -> None:
    assert place(memory, A, B) is None
    memory.remember(learned(pairs=[(A, B)]))
    assert place(memory, B, A) == (1, 1, [])
    assert place(memory, A, C) is None
    memory.remember(learned(pairs=[(A, C), (B, C)]))
    assert place(memory, A, C) is None
    memory.remember(learned(persons={1: 1, 2: 1, 3: 1}))
    assert place(memory, A, B, C) == (3, 1, [])


def test_what_arrived_together_was_seen_together(memory: GraphMemory) -> None:
    other = ("email", "b@x.com")
    memory.remember(learned(owners={other: (1, -1), B: (1, -1)}))
    assert place(memory, other, B) == (1, 1, [])
    memory.remember(learned(owners={A: (1, -1)}))
    assert place(memory, other, A) is None


def test_a_merge_moves_everybody_who_belonged_to_the_merged(memory: GraphMemory) -> None:
    after = VERSION._replace(people=2)
    memory.remember(learned(after=after, owners={}, persons={3: 3}, absorbed={1: 3}))
    assert place(memory, B) == (2, 3, [])
    assert memory.follow(after)
    assert place(memory, B) == (2, 3, [])


@pytest.mark.parametrize(
    "version",
    [VERSION._replace(people=2), VERSION._replace(evidence=2), VERSION._replace(server=6)],
)
def test_another_version_is_believed_at_once(memory: GraphMemory, version: GraphVersion) -> None:
    assert memory.follow(version)
    assert place(memory, A) is None
    memory.remember(learned())
    assert place(memory, A) is None
    memory.remember(learned(version))
    assert place(memory, A) == (1, 1, [])


def test_a_version_that_is_past_is_told(memory: GraphMemory) -> None:
    assert memory.follow(VERSION._replace(people=3))
    assert not memory.follow(VERSION)
    assert not memory.follow(VERSION._replace(people=2, evidence=9))


def test_a_transaction_that_others_came_between_teaches_nothing(memory: GraphMemory) -> None:
    memory.remember(learned(after=VERSION._replace(people=3), absorbed={1: 3}))
    memory.remember(learned(after=VERSION._replace(evidence=2), persons={1: 9}))
    assert place(memory, A) == (1, 1, [])


def test_links_and_pairs_outlive_a_merge_but_not_an_erasure(memory: GraphMemory) -> None:
    memory.remember(learned(pairs=[(A, B)]))
    assert memory.follow(VERSION._replace(people=2))
    memory.remember(learned(VERSION._replace(people=2), links=[], pairs=[]))
    assert place(memory, A, B, BROWSER) == (1, 1, [])
    gone = VERSION._replace(people=2, evidence=2)
    assert memory.follow(gone)
    memory.remember(learned(gone, links=[], pairs=[]))
    assert place(memory, A, B) is None
    assert place(memory, A, BROWSER) == (1, 1, [BROWSER])


def test_the_oldest_entries_go_when_there_are_too_many() -> None:
    memory = GraphMemory(limit=20)
    memory.follow(VERSION)
    for n in range(100):
        memory.remember(learned(owners={("user_id", f"u{n}"): (n, 1)}, persons={n: n}, links=[]))
        assert place(memory, ("user_id", "u0")) == (0, 0, [])
    known = [n for n in range(100) if place(memory, ("user_id", f"u{n}")) is not None]
    assert 10 <= len(known) <= 20
    assert set(range(91, 100)) <= set(known)


def test_one_profile_does_not_fill_the_memory(memory: GraphMemory) -> None:
    memory.remember(learned(links=[(("ip_address", f"10.0.{n // 256}.{n % 256}"), 1) for n in range(5000)]))
    profile = memory.place(read(A), [], Reliance(), 0)
    assert profile is not None
    assert len(profile.links) <= 1000


def rely(memory: GraphMemory, *keys: Key) -> tuple[int | None, Reliance]:
    """The profile of an event at position 5, and what it relies on."""
    reliance = Reliance()
    profile = memory.place(read(*keys), [], reliance, 5)
    return None if profile is None else profile.id, reliance


def test_the_event_of_a_browser_goes_to_the_only_profile_that_has_it(memory: GraphMemory) -> None:
    memory.remember(learned(holders={BROWSER: [1]}))
    assert place(memory, BROWSER, ADDRESS) == (1, 1, [ADDRESS])
    # Twice the same is no more than once.
    for keys in (BROWSER,), (BROWSER, BROWSER), (ADDRESS, BROWSER):
        profile, reliance = rely(memory, *keys)
        assert profile == 1
        assert (reliance.holders, reliance.events) == ({BROWSER: 1}, {BROWSER: [5]})
        assert (reliance.anonymous, reliance.apart) == (set(), set())


def test_the_event_of_a_browser_of_one_person_goes_to_the_profile_made_first(memory: GraphMemory) -> None:
    memory.remember(learned(holders={BROWSER: [2, 1]}))
    profile, reliance = rely(memory, BROWSER)
    assert profile == 1
    assert (reliance.holders, reliance.events) == ({BROWSER: 2}, {BROWSER: [5]})
    assert (reliance.anonymous, reliance.apart) == (set(), set())


def test_the_event_of_a_browser_of_several_people_goes_to_its_anonymous_profile(memory: GraphMemory) -> None:
    memory.remember(learned(holders={BROWSER: [1, 2, 3]}))
    assert place(memory, BROWSER) is None
    memory.remember(learned(**ANONYMOUS))
    profile, reliance = rely(memory, BROWSER)
    assert profile == 4
    # That others get it, too, makes no difference; that its people become one does.
    assert (reliance.holders, reliance.anonymous) == ({}, {(BROWSER, 4)})
    assert reliance.apart == {1, 3, 4}
    assert set(reliance.events[BROWSER]) == {5}


def test_the_event_of_a_browser_of_one_known_person_goes_there_whoever_else_browsed_before(
    memory: GraphMemory,
) -> None:
    people = {1: 1, 2: 1, 3: 3, 4: 4, 5: 5}
    memory.remember(learned(persons=people, holders={BROWSER: [4, 3, 5]}, identified={3}, anonymous={BROWSER: 4}))
    profile, reliance = rely(memory, BROWSER)
    assert profile == 3
    # It may be somebody else's once one more has it, or one of the others is known, too.
    assert reliance.holders == {BROWSER: 3}
    assert (reliance.anonymous, reliance.apart) == ({(BROWSER, 4), (BROWSER, 5)}, {4, 5})


def test_the_event_of_a_browser_of_several_strangers_waits_for_one_to_be_known(memory: GraphMemory) -> None:
    people = {4: 4, 5: 5}
    facts: dict[str, Any] = {"owners": {}, "links": [], "persons": people, "holders": {BROWSER: [4, 5]}}
    memory.remember(learned(**facts, identified=(), anonymous={BROWSER: 4}))
    profile, reliance = rely(memory, BROWSER)
    assert profile == 4
    assert reliance.holders == {BROWSER: 2}
    assert (reliance.anonymous, reliance.apart) == ({(BROWSER, 4), (BROWSER, 5)}, {4, 5})


def test_a_browser_that_too_many_have_says_nothing_for_ever(memory: GraphMemory) -> None:
    memory.remember(learned(**ANONYMOUS, holders={BROWSER: ()}))
    profile, reliance = rely(memory, BROWSER)
    assert profile == 4
    assert (reliance.holders, reliance.anonymous, reliance.apart) == ({}, {(BROWSER, 4)}, {4})


def test_what_attributes_nothing_goes_to_its_anonymous_profile(memory: GraphMemory) -> None:
    memory.remember(learned(owners={}, persons={4: 4}, anonymous={ADDRESS: 4}))
    profile, reliance = rely(memory, ADDRESS)
    assert profile == 4
    assert (reliance.anonymous, reliance.events, reliance.apart) == ({(ADDRESS, 4)}, {ADDRESS: [5]}, {4})
    # An address stands behind a browser, and who has that is not known.
    assert place(memory, ADDRESS, BROWSER) is None
    assert place(memory, ADDRESS, ("email", "null")) is None


def test_a_browser_that_says_something_counts_after_one_that_does_not(memory: GraphMemory) -> None:
    memory.remember(learned(holders={OTHER: [3]}))
    assert place(memory, BROWSER, OTHER) is None
    memory.remember(learned(holders={BROWSER: [1, 3]}))
    profile, reliance = rely(memory, BROWSER, OTHER)
    assert profile == 3
    assert (reliance.holders, reliance.apart) == ({OTHER: 1}, {1, 3})
    assert reliance.events == {BROWSER: [5], OTHER: [5]}


def test_a_strong_identifier_relies_on_no_browser(memory: GraphMemory) -> None:
    memory.remember(learned(**ANONYMOUS, holders={BROWSER: [1, 3]}))
    profile, reliance = rely(memory, BROWSER, C)
    assert profile == 3
    assert (reliance.holders, reliance.anonymous, reliance.apart, reliance.events) == ({}, set(), set(), {})


def test_people_who_became_one_have_a_browser_as_one(memory: GraphMemory) -> None:
    memory.remember(learned(**ANONYMOUS, holders={BROWSER: [2, 3], OTHER: [3]}))
    assert place(memory, BROWSER) == (4, 4, [BROWSER])
    memory.remember(learned(after=VERSION._replace(people=2), owners={}, absorbed={3: 1}))
    assert place(memory, OTHER) == (3, 1, [OTHER])
    profile, reliance = rely(memory, BROWSER)
    assert profile == 2
    assert (reliance.holders, reliance.apart) == ({BROWSER: 2}, set())


def test_the_person_of_an_anonymous_profile_is_the_one_that_it_is_part_of_now(memory: GraphMemory) -> None:
    memory.remember(learned(**ANONYMOUS, holders={BROWSER: ()}))
    memory.remember(learned(after=VERSION._replace(people=2), owners={}, absorbed={4: 3}))
    profile, reliance = rely(memory, BROWSER)
    assert profile == 4
    assert (reliance.anonymous, reliance.apart) == ({(BROWSER, 3)}, {3})


def test_after_another_merge_it_is_not_known_whether_holders_are_one_person(memory: GraphMemory) -> None:
    memory.remember(learned(**ANONYMOUS, holders={BROWSER: [1, 3], OTHER: [1], ("browser_id", "s"): [1, 2]}))
    merged = VERSION._replace(people=2)
    assert memory.follow(merged)
    assert place(memory, OTHER) is None
    memory.remember(learned(merged, persons=ANONYMOUS["persons"]))
    assert place(memory, BROWSER) is None
    assert place(memory, ("browser_id", "s")) is None
    # One profile is one person, whoever that is.
    assert place(memory, OTHER) == (1, 1, [OTHER])


def test_after_another_merge_it_is_not_known_whose_the_anonymous_profile_is(memory: GraphMemory) -> None:
    memory.remember(learned(**ANONYMOUS, holders={BROWSER: ()}))
    assert rely(memory, BROWSER)[0] == 4
    undone = VERSION._replace(people=2)
    assert memory.follow(undone)
    memory.remember(learned(undone, persons=ANONYMOUS["persons"]))
    # While 4 was identified, there may have been another one.
    assert rely(memory, BROWSER)[0] is None
    memory.remember(learned(undone, **ANONYMOUS))
    assert rely(memory, BROWSER)[0] == 4


def test_a_browser_is_looked_up_again_after_an_erasure(memory: GraphMemory) -> None:
    known: dict[str, Any] = {"persons": {1: 1, 4: 4}, "owners": {}, "links": []}
    memory.remember(learned(**known, holders={OTHER: [1], BROWSER: ()}, anonymous={BROWSER: 4, ADDRESS: 4}))
    assert [rely(memory, key)[0] for key in (OTHER, BROWSER, ADDRESS)] == [1, 4, 4]
    erased = VERSION._replace(evidence=2)
    assert memory.follow(erased)
    memory.remember(learned(erased, **known))
    assert [rely(memory, key)[0] for key in (OTHER, BROWSER, ADDRESS)] == [None, None, None]
    memory.remember(learned(erased, **known, anonymous={BROWSER: 4}))
    assert place(memory, BROWSER) is None
    memory.remember(learned(erased, **known, holders={BROWSER: ()}))
    assert rely(memory, BROWSER)[0] == 4
