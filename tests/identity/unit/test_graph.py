"""The working copy of the graph: what changes in it, and what it then says."""

from __future__ import annotations

from dmp_identity.domain.attribution import Candidate
from dmp_identity.domain.graph import Graph
from tests.identity.graphs import Also, Known, key, keys, snapshot

ANN = Known(1, "email:ann user_id:ann", "browser_id:b")
BEN = Known(2, "phone:ben email:ben")
STRANGER = Known(3, "", "browser_id:b")


def test_the_snapshot_stays_as_it_was() -> None:
    given = snapshot([ANN, BEN])
    graph = Graph(given)
    graph.merge(1, 2)
    graph.add_identifier(key("email:new"), 1)
    graph.note_together(keys("email:ann email:new"))
    graph.shared.add(key("email:ann"))
    graph.profiles_with[key("browser_id:b")].append(2)
    assert given.people[1].counts == {"email": 1, "user_id": 1}
    assert (given.people[1].size, given.people[2].size) == (2, 2)
    assert given.persons == {1: 1, 2: 2}
    assert key("email:new") not in given.owners
    assert given.shared == frozenset()
    assert given.profiles_with == {key("browser_id:b"): [1]}


def test_a_merge_adds_up_both_people() -> None:
    graph = Graph(snapshot([ANN, BEN]))
    assert graph.merge(2, 1) == (1, 2)
    assert graph.person(2) == 1
    person = graph.people[1]
    assert (person.size, person.identified) == (4, True)
    assert person.counts == {"email": 2, "user_id": 1, "phone": 1}


def test_whoever_absorbs_an_identified_person_is_identified() -> None:
    graph = Graph(snapshot([Known(1), Known(2, "email:a"), Known(4)]))
    graph.merge(1, 4)
    assert not graph.people[1].identified
    graph.merge(1, 2)
    assert graph.people[1].identified


def test_profiles_of_the_merged_follow() -> None:
    graph = Graph(snapshot([Known(1), Known(2), Known(5, of=2), Known(6)]))
    graph.merge(2, 6)
    graph.merge(1, 2)
    assert [graph.person(n) for n in (1, 2, 5, 6)] == [1, 1, 1, 1]
    assert graph.absorbed == {6: 2, 2: 1}


def test_new_profiles_count_down_and_are_young() -> None:
    graph = Graph(snapshot([Known(1)]))
    first = graph.create(100, identified=False)
    second = graph.create(100, identified=True)
    assert (first, second) == (-1, -2)
    # Of one time: what exists is older than what is made here, and that in order of making.
    assert sorted([second, 1, first], key=graph.age) == [1, -1, -2]
    assert graph.age(1) == (100, 1)
    assert graph.merge(first, 1) == (1, -1)
    assert graph.new_persons() == {-1: 1, -2: -2}


def test_settled_profiles_know_what_became_of_their_people() -> None:
    graph = Graph(snapshot([]))
    graph.create(5, identified=False)
    graph.create(6, identified=False)
    graph.create(7, identified=True)
    graph.add_identifier(key("email:new"), -2)
    assert [(p.id, p.created_at_us, p.identified) for p in graph.settled_profiles()] == [
        (-1, 5, False),
        (-2, 6, True),
        (-3, 7, True),
    ]
    assert (graph.people[-2].size, graph.people[-2].counts) == (1, {"email": 1})


def test_an_identifier_counts_for_the_person() -> None:
    graph = Graph(snapshot([ANN, Known(5, of=1)]))
    graph.add_identifier(key("email:more"), 5)
    assert graph.owners[key("email:more")] == 5
    assert graph.people[1].counts == {"email": 2, "user_id": 1}
    assert graph.people[1].size == 3


def test_candidates_are_the_profiles_that_have_a_weak_identifier() -> None:
    graph = Graph(snapshot([ANN, STRANGER]))
    assert graph.candidates_for(key("browser_id:b")) == [Candidate(1, 1, True), Candidate(3, 3, False)]
    graph.merge(1, 3)
    assert graph.candidates_for(key("browser_id:b")) == [Candidate(1, 1, True), Candidate(3, 1, True)]
    assert graph.candidates_for(key("browser_id:nobody")) == []


def test_an_anonymous_profile_is_in_force_until_its_person_is_identified() -> None:
    graph = Graph(snapshot([ANN, STRANGER], Also(anonymous={"browser_id:b": 3})))
    assert graph.anonymous_profile(key("browser_id:b")) == 3
    assert graph.anonymous_profile(key("browser_id:c")) is None
    graph.merge(1, 3)
    assert graph.anonymous_profile(key("browser_id:b")) is None


def test_people_are_kept_apart_by_any_of_their_profiles() -> None:
    graph = Graph(snapshot([Known(1), Known(2), Known(3), Known(5, of=2)], Also(apart=[(1, 5)])))
    assert graph.are_apart(1, 2)
    assert graph.are_apart(2, 1)
    assert not graph.are_apart(1, 3)
    graph.merge(1, 3)
    assert not graph.are_apart(3, 2)
    assert graph.are_apart(1, 2)


def test_a_value_would_come_with_too_many_of_a_type() -> None:
    graph = Graph(snapshot([BEN], Also(seen_with={"phone:ben": "email:e1 email:e2 user_id:u1"})))
    ben = key("phone:ben")
    assert graph.would_exceed(ben, keys("email:e3"), 2)
    assert graph.would_exceed(ben, keys("user_id:u1 email:e3"), 2)
    assert not graph.would_exceed(ben, keys("email:e3"), 3)
    assert not graph.would_exceed(ben, keys("email:e1 email:e2"), 2)
    assert not graph.would_exceed(ben, keys("user_id:u2"), 2)
    assert graph.would_exceed(ben, keys("user_id:u2"), 1)
    assert not graph.would_exceed(ben, [], 1)
    assert not graph.would_exceed(key("phone:other"), keys("email:e3"), 1)


def test_what_is_seen_together_is_noted_both_ways() -> None:
    graph = Graph(snapshot([]))
    graph.note_together(keys("phone:p email:e1"))
    graph.note_together(keys("phone:p email:e2 phone:p"))
    assert graph.would_exceed(key("phone:p"), keys("email:e3"), 2)
    assert not graph.would_exceed(key("phone:p"), keys("phone:q"), 1)
    assert graph.would_exceed(key("email:e1"), keys("phone:q"), 1)
    assert not graph.would_exceed(key("email:e1"), keys("email:e2"), 1)
