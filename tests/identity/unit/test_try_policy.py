"""What another policy would make of stored evidence: who would become one, who would be parted, what is set aside."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.identifier_policy import policy_from_mapping
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.try_policy import Arrival, Effect, Evidence, SetAside, Trial, try_policy
from tests.identity.graphs import key

TYPES: dict[str, dict[str, Any]] = {
    "email": {"strength": "strong", "normalise": "lower_case"},
    "phone": {"strength": "strong"},
    "user_id": {"strength": "strong"},
    "device_id": {"strength": "weak"},
}


def arrival(text: str, profile: int, ref: str = "", via: str = "", *, person: int = 0, shown: str = "") -> Arrival:
    """A strong identifier that arrived with an event of its own, unless `ref` says another; weak if `ref` is `-`."""
    one = key(text)
    return Arrival(
        key=one,
        shown=shown or one[1],
        profile=profile,
        person=person or profile,
        ref="" if ref == "-" else ref or f"event of {text}",
        via=key(via) if via else None,
    )


def pairs(*texts: str) -> list[tuple[Key, Key]]:
    """Pairs of identifiers, each written `email:a phone:1`."""
    return [(key(text.split()[0]), key(text.split()[1])) for text in texts]


def trial(arrivals: list[Arrival], types: dict[str, dict[str, Any]] | None = None, **more: Any) -> Trial:  # noqa: ANN401
    """What the policy makes of the evidence; `types` has other settings of some types."""
    policy = policy_from_mapping(
        {"types": {name: {**kind, **(types or {}).get(name, {})} for name, kind in TYPES.items()}}
    )
    evidence = {"pairs": [], "refused": [], "edges": [], "merged": [], **more}
    return try_policy(policy, Evidence(arrivals=arrivals, **evidence))


def told(made: Trial) -> tuple[int, int, list[list[int]], list[tuple[list[int], int]]]:
    """People before and after, whom it merges, and whom it splits in how many."""
    assert made.merge_count == len(made.merges)
    assert made.split_count == len(made.splits)
    assert all(effect.people_after == 1 for effect in made.merges)
    return (
        made.people_before,
        made.people_after,
        sorted(effect.people for effect in made.merges),
        sorted((effect.people, effect.people_after) for effect in made.splits),
    )


ONE_PROFILE = [arrival("email:a", 1), arrival("phone:1", 1, via="email:a")]
SAME_EVENT = [arrival("email:a", 1, "e"), arrival("phone:1", 1, "e")]
TWO = [arrival("email:a", 1), arrival("phone:1", 2)]
JOINED = [arrival("email:a", 1), arrival("phone:1", 2, person=1)]


@pytest.mark.parametrize(
    ("arrivals", "more", "expected"),
    [
        (ONE_PROFILE, {}, (1, 1, [], [])),
        (SAME_EVENT, {}, (1, 1, [], [])),
        (TWO, {}, (2, 2, [], [])),
        # What was stored at one profile, and nothing connects it any more.
        ([arrival("email:a", 1), arrival("phone:1", 1)], {}, (1, 2, [], [([1], 2)])),
        # The same event at two profiles proves nothing: one of them was refused.
        ([arrival("email:a", 1, "e"), arrival("phone:1", 2, "e")], {}, (2, 2, [], [])),
        ([arrival("email:a", 1), arrival("phone:1", 1)], {"pairs": pairs("email:a phone:1")}, (1, 1, [], [])),
        (JOINED, {"edges": pairs("email:a phone:1")}, (1, 1, [], [])),
        (JOINED, {"merged": [(1, 2)]}, (1, 1, [], [])),
        (JOINED, {}, (1, 2, [], [([1], 2)])),
        (TWO, {"pairs": pairs("email:a phone:1")}, (2, 1, [[1, 2]], [])),
        (TWO, {"refused": pairs("email:a phone:1")}, (2, 2, [], [])),
        (TWO, {"merged": [(1, 9)]}, (2, 2, [], [])),
        ([], {}, (0, 0, [], [])),
    ],
)
def test_evidence_is_followed(arrivals: list[Arrival], more: dict[str, Any], expected: object) -> None:
    assert told(trial(arrivals, **more)) == expected


def test_values_that_the_policy_compares_as_one_are_one_person() -> None:
    made = trial([arrival("email:a", 1), arrival("email:A", 2)])
    assert told(made) == (2, 1, [[1, 2]], [])
    assert made.merges == [Effect(people=[1, 2], people_after=1, keys=[key("email:a"), key("email:A")])]
    assert told(trial([arrival("email:a", 1), arrival("email:A", 2)], {"email": {"normalise": "trimmed"}}))[1] == 2


def test_the_value_is_read_as_it_was_shown() -> None:
    arrivals = [arrival("email:one", 1, shown="same"), arrival("email:two", 2, shown="SAME")]
    assert told(trial(arrivals)) == (2, 1, [[1, 2]], [])


def test_a_split_names_an_identifier_of_each_part() -> None:
    (effect,) = trial([arrival("email:a", 1), arrival("phone:1", 1)]).splits
    assert effect == Effect(people=[1], people_after=2, keys=[key("email:a"), key("phone:1")])


def test_a_type_that_becomes_weak_proves_nothing() -> None:
    made = trial(ONE_PROFILE, {"phone": {"strength": "weak"}})
    assert told(made) == (1, 1, [], [])
    assert made.set_aside == []
    arrivals = [*ONE_PROFILE, arrival("user_id:u", 1, via="phone:1")]
    assert told(trial(arrivals, {"phone": {"strength": "weak"}})) == (1, 2, [], [([1], 2)])


def test_a_weak_type_that_becomes_strong_joins_all_that_have_a_value() -> None:
    arrivals = [
        arrival("email:a", 1),
        arrival("phone:1", 2),
        arrival("device_id:d", 1, "-"),
        arrival("device_id:D", 2, "-", shown="d"),
    ]
    assert told(trial(arrivals))[1:] == (2, [], [])
    assert told(trial(arrivals, {"device_id": {"strength": "strong"}})) == (2, 1, [[1, 2]], [])


def test_values_set_aside_are_named_with_who_keeps_them() -> None:
    made = trial(
        [arrival("email:none@x", 1), arrival("phone:1", 1, via="email:none@x")], {"email": {"blocked": ["none@x"]}}
    )
    assert made.set_aside_count == 1
    assert made.set_aside == [SetAside(person=1, key=key("email:none@x"), rule="blocked")]
    assert told(made) == (1, 1, [], [])


def test_weak_values_are_not_set_aside() -> None:
    arrivals = [arrival("device_id:-", 1, "-"), arrival("email:a", 1)]
    assert trial(arrivals, {"device_id": {"strength": "strong"}}).set_aside == []


def test_a_type_that_the_policy_has_no_more_is_set_aside() -> None:
    made = trial([arrival("shoe:42", 1), arrival("email:a", 1)])
    assert made.set_aside == [SetAside(person=1, key=key("shoe:42"), rule="unknown_type")]


BROUGHT = [arrival("phone:1", 1), *(arrival(f"email:{n}", 1, via="phone:1") for n in range(3))]


@pytest.mark.parametrize(("degree", "after"), [(0, 1), (3, 1), (2, 3)])
def test_a_value_that_came_with_too_many_joins_nobody(degree: int, after: int) -> None:
    made = trial(BROUGHT, {"phone": {"hub_degree": degree}})
    assert (made.people_before, made.people_after) == (1, after + (degree == 2))


@pytest.mark.parametrize("how", ["pairs", "refused", "edges", "siblings"])
def test_everything_that_was_seen_together_counts_once(how: str) -> None:
    arrivals = [arrival("phone:1", 1, "e"), *(arrival(f"email:{n}", 2 + n) for n in range(3))]
    more: dict[str, Any] = {how: pairs(*(f"phone:1 email:{n}" for n in range(3)))}
    if how == "siblings":
        arrivals, more = [arrival("phone:1", 1, "e"), *(arrival(f"email:{n}", 1, "e") for n in range(3))], {}
    assert trial(arrivals, {"phone": {"hub_degree": 3}}, **more).people_after == (4 if how == "refused" else 1)
    # Without the phone only what arrived in one event hangs together.
    assert trial(arrivals, {"phone": {"hub_degree": 2}}, **more).people_after == (2 if how == "siblings" else 4)
    again = {name: seen * 2 for name, seen in more.items()}
    assert trial(arrivals, {"phone": {"hub_degree": 3}}, **again).people_after == (4 if how == "refused" else 1)


def test_what_was_set_aside_counts_as_seen() -> None:
    arrivals = [arrival("phone:1", 1), arrival("email:-", 1, via="phone:1"), arrival("email:b", 1, via="phone:1")]
    assert trial(arrivals, {"phone": {"hub_degree": 1}}).people_after == 2
    assert trial(arrivals, {"phone": {"hub_degree": 2}}).people_after == 1


def test_limits_count_on_the_way() -> None:
    made = trial(BROUGHT, {"email": {"max_per_profile": 2}})
    assert told(made) == (1, 2, [], [([1], 2)])
    assert trial(BROUGHT, {"email": {"max_per_profile": 3}}).people_after == 1


def test_spellings_of_one_value_count_once() -> None:
    arrivals = [arrival("phone:1", 1), arrival("email:a", 1, via="phone:1"), arrival("email:A", 1, via="phone:1")]
    assert trial(arrivals, {"email": {"max_per_profile": 1}}).people_after == 1


def test_a_person_s_decision_has_no_limit() -> None:
    arrivals = [arrival("email:a", 1), arrival("email:b", 2, person=1)]
    assert trial(arrivals, {"email": {"max_per_profile": 1}}, merged=[(1, 2)]).people_after == 1
    assert trial(arrivals, {"email": {"max_per_profile": 1}}, pairs=pairs("email:a email:b")).people_after == 2


def test_at_most_a_hundred_differences_with_twenty_names_are_shown() -> None:
    arrivals = [arrival(f"email:{'aA'[n % 2]}{n // 2}", n + 1) for n in range(240)]
    made = trial(arrivals)
    assert (made.merge_count, len(made.merges)) == (120, 100)
    parted = [arrival(f"email:{m}-{n}", m) for m in range(1, 103) for n in range(25)]
    made = trial(parted)
    assert (made.split_count, len(made.splits)) == (102, 100)
    assert (made.splits[0].people_after, len(made.splits[0].keys)) == (25, 20)
    one = trial([arrival(f"email:{n}", n, shown="same") for n in range(1, 26)])
    assert (len(one.merges[0].people), len(one.merges[0].keys)) == (20, 20)
    aside = trial([arrival(f"email:{'-' * n}", n) for n in range(1, 103)])
    assert (aside.set_aside_count, len(aside.set_aside)) == (102, 100)
