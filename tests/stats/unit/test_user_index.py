"""Users get numbers in the order in which they are met; names and numbers can be changed and forgotten."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dmp_stats.domain.user_index import UserIndex

USERS = st.lists(st.sampled_from("abcdef"), max_size=10)


def index(*users: str) -> UserIndex:
    made = UserIndex()
    made.numbers(users)
    return made


@given(st.lists(USERS, max_size=4))
def test_numbers_are_those_of_the_first_meeting(calls: list[list[str]]) -> None:
    users, met = UserIndex(), dict[str, int]()
    for call in calls:
        for user in call:
            met.setdefault(user, len(met))
        numbers = users.numbers(call)
        assert numbers.tolist() == [met[user] for user in call]
        assert users.names(numbers) == call
    assert len(users) == len(met)
    assert users.everybody() == list(met)
    assert [users.number(user) for user in met] == list(met.values())


def test_an_unknown_user_has_no_number_and_gets_none_by_asking() -> None:
    users = index("a")
    assert users.number("b") is None
    assert len(users) == 1
    assert users.numbers([]).tolist() == []


def test_a_renamed_user_keeps_the_number() -> None:
    users = index("a", "b")
    users.rename("a", "x")
    assert (users.number("a"), users.number("x"), users.everybody()) == (None, 0, ["x", "b"])
    assert users.numbers(["a", "x"]).tolist() == [2, 0]


def test_renaming_somebody_unknown_changes_nothing() -> None:
    users = index("a")
    users.rename("b", "x")
    assert (users.number("x"), users.everybody()) == (None, ["a"])


def test_a_name_that_somebody_has_stays_that_of_the_first() -> None:
    users = index("a", "b")
    users.rename("a", "b")
    assert (users.number("a"), users.number("b"), users.everybody()) == (None, 1, ["b", "b"])


def test_kept_users_are_numbered_anew_in_the_same_order() -> None:
    users = index("a", "b", "c", "d")
    assert users.keep(np.array([False, True, False, True])).tolist() == [-1, 0, -1, 1]
    assert users.everybody() == ["b", "d"]
    assert [users.number(user) for user in "abcd"] == [None, 0, None, 1]
    assert users.numbers(["a"]).tolist() == [2]


def test_the_everybody_list_is_a_copy() -> None:
    users = index("a")
    users.everybody().append("b")
    assert len(users) == 1
