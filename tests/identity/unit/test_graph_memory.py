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
BROWSER = ("browser_id", "b")


def read(*keys: Key) -> list[Reading]:
    """The readings of identifiers."""
    readings = [READER.read(*key) for key in keys]
    return [reading for reading in readings if reading is not None]


def learned(version: GraphVersion = VERSION, **facts: Any) -> Learned:  # noqa: ANN401
    """Two people, 1 with two profiles, who arrived one after another."""
    known: dict[str, Any] = {
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
