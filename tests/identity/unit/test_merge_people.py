"""How people become one when somebody decides it: the oldest survives, who is kept apart is not merged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.errors import NeverMergeError
from dmp_identity.domain.graph import Graph
from dmp_identity.domain.merge_people import MergeAct, MergeEnd, merge_people, pairs_kept_apart, plan_merge
from dmp_identity.domain.plan import NewMerge, Plan
from dmp_identity.domain.profile_id import public_id
from tests.identity.graphs import Also, Known, changes, key, snapshot

ANN, BEN, STRANGER = Known(1, "email:ann"), Known(2, "phone:ben"), Known(3, "", "browser_id:b")
BY_HAND = MergeAct(cause="manual", reason="they said so")


def ends(*profiles: int) -> list[MergeEnd]:
    """What a person names."""
    return [MergeEnd(profile=profile, key=None) for profile in profiles]


@pytest.mark.parametrize("named", [(1, 2), (2, 1)])
def test_the_oldest_survives_whoever_is_named_first(named: tuple[int, int]) -> None:
    made = plan_merge(snapshot([ANN, BEN]), ends(*named), BY_HAND)
    assert changes(made) == {"merges": [[(1, 2, "1 ", "2 ")]], "absorbed": {2: 1}}


def test_age_counts_and_not_the_number() -> None:
    given = snapshot([ANN, BEN, STRANGER], Also(apart=[(1, 2)]))
    given.people[2].created_at_us = 1
    with pytest.raises(NeverMergeError) as raised:
        plan_merge(given, ends(1, 2), BY_HAND)
    assert raised.value.internal_user_ids == (public_id(2), public_id(1))
    given.people[3].created_at_us = 0
    assert plan_merge(given, ends(1, 3), BY_HAND).absorbed == {1: 3}


def test_all_become_part_of_the_oldest() -> None:
    made = plan_merge(snapshot([ANN, BEN, STRANGER]), ends(3, 2, 1), BY_HAND)
    assert changes(made) == {"merges": [[(1, 2, "1 ", "2 "), (1, 3, "1 ", "3 ")]], "absorbed": {2: 1, 3: 1}}


def test_the_merge_says_who_did_it_and_why() -> None:
    act = MergeAct(cause="renormalise", ref="run", source="job", reason="one spelling")
    made = plan_merge(snapshot([ANN, BEN]), [MergeEnd(1, key("email:x")), MergeEnd(2, key("email:y"))], act)
    (merge,) = made.merges
    assert (merge.cause, merge.ref, merge.source, merge.reason) == ("renormalise", "run", "job", "one spelling")
    assert (merge.edges[0].key_a, merge.edges[0].key_b) == (key("email:x"), key("email:y"))


def test_a_person_s_act_names_no_evidence() -> None:
    (merge,) = plan_merge(snapshot([ANN, BEN]), ends(1, 2), BY_HAND).merges
    assert merge == NewMerge(
        cause="manual", ref="", source="", edges=merge.edges, reason="they said so", identifiers=merge.identifiers
    )


def test_an_edge_connects_the_profile_that_was_named_first_of_each_person() -> None:
    known = [ANN, Known(4, "email:bo"), Known(5, "phone:bo", of=4), Known(6, "", of=4)]
    made = plan_merge(snapshot(known), ends(5, 6, 1), BY_HAND)
    assert changes(made) == {"merges": [[(1, 4, "1 ", "5 ")]], "absorbed": {4: 1}}


@pytest.mark.parametrize("named", [(4,), (4, 4), (4, 5), (5, 4)])
def test_one_person_needs_no_merge(named: tuple[int, ...]) -> None:
    known = [Known(4, "email:bo"), Known(5, "phone:bo", of=4)]
    assert plan_merge(snapshot(known), ends(*named), BY_HAND) == Plan()


@pytest.mark.parametrize(
    ("known", "identified"),
    [
        ([Known(1, "", "browser_id:b"), Known(2, "email:ann")], {1}),
        ([Known(1, "email:ann"), Known(2, "", "browser_id:b")], set()),
        ([Known(1, "", "browser_id:b"), Known(2, "", "browser_id:c")], set()),
    ],
)
def test_an_anonymous_survivor_is_identified_by_whom_it_absorbs(known: list[Known], identified: set[int]) -> None:
    assert plan_merge(snapshot(known), ends(1, 2), BY_HAND).identified == identified


@pytest.mark.parametrize("apart", [(1, 2), (2, 1), (1, 5), (5, 1)])
def test_people_kept_apart_are_not_merged(apart: tuple[int, int]) -> None:
    known = [ANN, BEN, Known(5, "email:ben", of=2)]
    with pytest.raises(NeverMergeError) as raised:
        plan_merge(snapshot(known, Also(apart=[apart])), ends(2, 1), BY_HAND)
    assert raised.value.internal_user_ids == (public_id(1), public_id(2))


def test_one_pair_kept_apart_keeps_all_from_being_merged() -> None:
    known = [ANN, BEN, STRANGER]
    with pytest.raises(NeverMergeError) as raised:
        plan_merge(snapshot(known, Also(apart=[(3, 2)])), ends(1, 2, 3), BY_HAND)
    assert raised.value.internal_user_ids == (public_id(2), public_id(3))


def test_who_is_kept_apart_from_others_is_merged() -> None:
    known = [ANN, BEN, STRANGER]
    assert plan_merge(snapshot(known, Also(apart=[(1, 3)])), ends(1, 2), BY_HAND).absorbed == {2: 1}


def test_pairs_kept_apart_come_in_the_order_of_the_people() -> None:
    graph = Graph(snapshot([ANN, BEN, STRANGER], Also(apart=[(1, 2), (2, 3)])))
    assert pairs_kept_apart(graph, [3, 2, 1]) == [(3, 2), (2, 1)]
    assert pairs_kept_apart(graph, [3, 1]) == []


PEOPLE = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=6)


@given(people=PEOPLE, data=st.data())
def test_a_merge_makes_everybody_one_person_of_the_oldest(people: list[tuple[bool, int]], data: st.DataObject) -> None:
    known = [
        Known(n, " ".join(f"email:{n}{extra}" for extra in range(count)) if strong else "")
        for n, (strong, count) in enumerate(people, 1)
    ]
    graph = Graph(snapshot(known))
    sizes = sum(person.size for person in graph.people.values())
    order = data.draw(st.permutations([one.id for one in known]))
    merge = merge_people(graph, {number: MergeEnd(profile=number, key=None) for number in order}, BY_HAND)
    assert {graph.person(one.id) for one in known} == {1}
    assert [edge.merged for edge in merge.edges] == list(range(2, len(people) + 1))
    assert graph.people[1].size == sizes
    assert graph.people[1].identified == any(strong and count for strong, count in people)
