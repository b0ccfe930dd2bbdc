"""Who owns a browser: the rule itself, and that resolving and attributing from the cache answer alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.attribution import Candidate, ownership
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.learned import Learned
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.resolve_observations import ObservationResolver
from dmp_identity.domain.snapshot import GraphVersion, Person, Snapshot
from tests.identity.policies import packaged_policy

ANN, ANN_TOO, BEN = Candidate(3, 3, True), Candidate(6, 3, True), Candidate(4, 4, True)
ONE, TWO = Candidate(1, 1, False), Candidate(2, 2, False)


@pytest.mark.parametrize(
    ("candidates", "identified_first", "otherwise"),
    [
        ([], None, None),
        ([ONE], ONE, ONE),
        ([ANN_TOO, ANN], ANN, ANN),
        ([ONE, TWO], None, None),
        ([ONE, ANN_TOO, TWO, ANN], ANN, None),
        ([ONE, ANN, BEN], None, None),
        ([ANN, BEN], None, None),
        ([Candidate(-2, -2, True), Candidate(-1, -2, True), ONE], Candidate(-1, -2, True), None),
    ],
)
def test_one_person_owns_a_browser_and_known_people_count_first(
    candidates: list[Candidate], identified_first: Candidate | None, otherwise: Candidate | None
) -> None:
    assert ownership(candidates, identified_first=True).owner == identified_first
    assert ownership(candidates, identified_first=False).owner == otherwise


PEOPLE = st.dictionaries(st.integers(1, 7), st.tuples(st.integers(1, 4), st.booleans()), max_size=7)


@given(people=PEOPLE, more=st.tuples(st.integers(8, 9), st.integers(1, 6), st.booleans()), first=st.booleans())
def test_what_does_not_matter_changes_nothing(
    people: dict[int, tuple[int, bool]], more: tuple[int, int, bool], first: bool
) -> None:
    identified = {person for person, known in people.values() if known}
    candidates = [Candidate(number, person, person in identified) for number, (person, _) in people.items()]
    answer = ownership(candidates, identified_first=first)
    for person in {candidate.person for candidate in candidates} - identified - answer.anonymous:
        changed = [h._replace(identified=h.identified or h.person == person) for h in candidates]
        now = ownership(changed, identified_first=first).owner
        assert (now and now.profile) == (answer.owner and answer.owner.profile)
    if candidates and not answer.more_matter:
        number, person, known = more
        another = Candidate(number, person, person in identified or (known and person > 4))
        assert ownership([*candidates, another], identified_first=first).owner == answer.owner


VERSION = GraphVersion(server=1, people=1, evidence=1)
BROWSERS: list[Key] = [("browser_id", name) for name in "abc"]
ADDRESS: Key = ("ip_address", "1.1.1.1")
KEYS = st.lists(st.sampled_from([*BROWSERS, ADDRESS]), min_size=1, max_size=3, unique=True)


@given(
    persons=st.lists(st.integers(1, 7), min_size=7, max_size=7),
    identified=st.sets(st.integers(1, 7)),
    profiles_with=st.lists(st.sets(st.integers(1, 7), min_size=1), min_size=3, max_size=3),
    events=st.lists(KEYS, min_size=1, max_size=5),
    max_holders=st.integers(1, 7),
    first=st.booleans(),
)
def test_cache_and_resolver_answer_alike(
    persons: list[int],
    identified: set[int],
    profiles_with: list[set[int]],
    events: list[list[Key]],
    max_holders: int,
    first: bool,
) -> None:
    policy = packaged_policy(weak={"identified_first": first, "max_holders": max_holders})
    parser = IdentifierParser(policy)
    person_of = {number: min(number, person) for number, person in enumerate(persons, 1)}
    person_of = {
        number: person_of[person] if person_of[person] == person else number for number, person in person_of.items()
    }
    held = {key: sorted(some)[: max_holders + 1] for key, some in zip(BROWSERS, profiles_with, strict=True)}
    stranger = next((n for n in range(1, 8) if person_of[n] not in identified), None)
    anonymous = {} if stranger is None else dict.fromkeys([*BROWSERS, ADDRESS], stranger)
    snapshot = Snapshot(
        version=VERSION,
        persons=person_of,
        people={p: Person(created_at_us=p, identified=p in identified) for p in person_of.values()},
        profiles_with=held,
        anonymous=anonymous,
    )
    cache = GraphCache()
    cache.follow(VERSION)
    cache.remember(
        Learned(
            version=VERSION,
            after=VERSION,
            owners={},
            persons=person_of,
            absorbed={},
            links=[(key, number) for key, some in held.items() for number in some] + [(ADDRESS, n) for n in person_of],
            pairs=(),
            profiles_with={key: some if len(some) <= max_holders else () for key, some in held.items()},
            anonymous=anonymous,
            identified=identified,
        )
    )
    for keys in events:
        identifiers: list[ParsedIdentifier] = [parsed for key in keys if (parsed := parser.parse(*key)) is not None]
        attributed = EventAttributor(cache).attribute(identifiers, 0)
        resolver = ObservationResolver(policy, snapshot, now_us=1)
        resolved = resolver.resolve(parser.observation(ref="e", source="", cause="event", identifiers=identifiers))
        if attributed is not None:
            assert attributed[0].id == resolved
        elif resolved > 0:
            # It is left only if it would give the profile a browser.
            assert any(key in held and resolved not in held[key] for key in keys)
