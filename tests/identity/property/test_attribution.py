"""Who owns a browser: the rule itself, and that resolving and placing from memory answer alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.attribution import Holder, ownership
from dmp_identity.domain.graph_memory import GraphMemory, Learned, Reliance
from dmp_identity.domain.reading import Key, PolicyReader, Reading
from dmp_identity.domain.resolve_sightings import SightingResolver
from dmp_identity.domain.snapshot import GraphVersion, Person, Snapshot
from tests.identity.policies import packaged_policy

ANN, ANN_TOO, BEN = Holder(3, 3, True), Holder(6, 3, True), Holder(4, 4, True)
ONE, TWO = Holder(1, 1, False), Holder(2, 2, False)


@pytest.mark.parametrize(
    ("holders", "identified_first", "otherwise"),
    [
        ([], None, None),
        ([ONE], ONE, ONE),
        ([ANN_TOO, ANN], ANN, ANN),
        ([ONE, TWO], None, None),
        ([ONE, ANN_TOO, TWO, ANN], ANN, None),
        ([ONE, ANN, BEN], None, None),
        ([ANN, BEN], None, None),
        ([Holder(-2, -2, True), Holder(-1, -2, True), ONE], Holder(-1, -2, True), None),
    ],
)
def test_one_person_owns_a_browser_and_known_people_count_first(
    holders: list[Holder], identified_first: Holder | None, otherwise: Holder | None
) -> None:
    assert ownership(holders, identified_first=True).owner == identified_first
    assert ownership(holders, identified_first=False).owner == otherwise


PEOPLE = st.dictionaries(st.integers(1, 7), st.tuples(st.integers(1, 4), st.booleans()), max_size=7)


@given(people=PEOPLE, more=st.tuples(st.integers(8, 9), st.integers(1, 6), st.booleans()), first=st.booleans())
def test_what_does_not_matter_changes_nothing(
    people: dict[int, tuple[int, bool]], more: tuple[int, int, bool], first: bool
) -> None:
    identified = {person for person, known in people.values() if known}
    holders = [Holder(number, person, person in identified) for number, (person, _) in people.items()]
    answer = ownership(holders, identified_first=first)
    for person in {holder.person for holder in holders} - identified - answer.anonymous:
        changed = [h._replace(identified=h.identified or h.person == person) for h in holders]
        now = ownership(changed, identified_first=first).owner
        assert (now and now.profile) == (answer.owner and answer.owner.profile)
    if holders and not answer.more_matter:
        number, person, known = more
        another = Holder(number, person, person in identified or (known and person > 4))
        assert ownership([*holders, another], identified_first=first).owner == answer.owner


VERSION = GraphVersion(server=1, people=1, evidence=1)
BROWSERS: list[Key] = [("browser_id", name) for name in "abc"]
ADDRESS: Key = ("ip_address", "1.1.1.1")
KEYS = st.lists(st.sampled_from([*BROWSERS, ADDRESS]), min_size=1, max_size=3, unique=True)


@given(
    persons=st.lists(st.integers(1, 7), min_size=7, max_size=7),
    identified=st.sets(st.integers(1, 7)),
    holders=st.lists(st.sets(st.integers(1, 7), min_size=1), min_size=3, max_size=3),
    events=st.lists(KEYS, min_size=1, max_size=5),
    max_holders=st.integers(1, 7),
    first=st.booleans(),
)
def test_memory_and_resolver_answer_alike(
    persons: list[int],
    identified: set[int],
    holders: list[set[int]],
    events: list[list[Key]],
    max_holders: int,
    first: bool,
) -> None:
    policy = packaged_policy(weak={"identified_first": first, "max_holders": max_holders})
    reader = PolicyReader(policy)
    person_of = {number: min(number, person) for number, person in enumerate(persons, 1)}
    person_of = {
        number: person_of[person] if person_of[person] == person else number for number, person in person_of.items()
    }
    held = {key: sorted(some)[: max_holders + 1] for key, some in zip(BROWSERS, holders, strict=True)}
    stranger = next((n for n in range(1, 8) if person_of[n] not in identified), None)
    anonymous = {} if stranger is None else dict.fromkeys([*BROWSERS, ADDRESS], stranger)
    snapshot = Snapshot(
        version=VERSION,
        persons=person_of,
        people={p: Person(created_at_us=p, identified=p in identified) for p in person_of.values()},
        holders=held,
        anonymous=anonymous,
    )
    memory = GraphMemory()
    memory.follow(VERSION)
    memory.remember(
        Learned(
            version=VERSION,
            after=VERSION,
            owners={},
            persons=person_of,
            absorbed={},
            links=[(key, number) for key, some in held.items() for number in some] + [(ADDRESS, n) for n in person_of],
            pairs=(),
            holders={key: some if len(some) <= max_holders else () for key, some in held.items()},
            anonymous=anonymous,
            identified=identified,
        )
    )
    for keys in events:
        readings: list[Reading] = [reading for key in keys if (reading := reader.read(*key)) is not None]
        placed = memory.place(readings, [], Reliance(), 0)
        resolver = SightingResolver(policy, snapshot, now_us=1)
        resolved = resolver.resolve(reader.sighting(ref="e", source="", cause="event", readings=readings))
        if placed is not None:
            assert placed.id == resolved
        elif resolved > 0:
            # It is not placed only if it would give the profile a browser.
            assert any(key in held and resolved not in held[key] for key in keys)
