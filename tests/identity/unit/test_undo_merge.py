"""What undoing a merge leaves: who belongs together, which rows keep what, and how rows are linked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.contacts import ContactRow, KnownValue
from dmp_identity.domain.undo_merge import ActiveMerge, ContactState, components, contact_states, split_rows

START = datetime(2026, 2, 10, tzinfo=UTC)


def at(minute: int) -> datetime:
    """A time."""
    return START + timedelta(minutes=minute)


def row(number: int, email: str | None, phone: str | None = None, *, profile: int, minute: int = 0) -> ContactRow:
    """A row as it is stored."""
    return ContactRow(
        id=number,
        phone=phone,
        email=email,
        linked_id=None,
        created_at=at(minute),
        updated_at=at(minute),
        profile=profile,
    )


def known(kind: str, shown: str, profile: int) -> KnownValue:
    """Which profile has a value."""
    return KnownValue(type=kind, shown=shown, seen_at=START, profile=profile, requested=False)


def compared(kind: str, text: str) -> str:
    """Without regard to case, e-mails and phones apart."""
    return f"{kind}={text.lower()}"


@pytest.mark.parametrize(
    ("members", "edges", "groups"),
    [
        ([], [], []),
        ([1, 2], [], [[1], [2]]),
        ([1, 2, 3], [(3, 1)], [[1, 3], [2]]),
        ([1, 2, 3, 4], [(4, 3), (2, 4)], [[1], [2, 3, 4]]),
        ([3, 1, 2], [(1, 2), (2, 1), (1, 2)], [[3], [1, 2]]),
        ([1, 2, 3, 4, 5], [(1, 2), (3, 4), (2, 3)], [[1, 2, 3, 4], [5]]),
    ],
)
def test_edges_in_force_connect(members: list[int], edges: list[tuple[int, int]], groups: list[list[int]]) -> None:
    assert components(members, edges) == groups


EDGES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(edges=EDGES)
def test_everybody_is_in_one_group_and_no_edge_leads_out_of_one(edges: list[tuple[int, int]]) -> None:
    groups = components(range(10), edges)
    assert sorted(member for group in groups for member in group) == list(range(10))
    group_of = {member: n for n, group in enumerate(groups) for member in group}
    assert all(group_of[a] == group_of[b] for a, b in edges)
    # No group is larger than it has to be: a group of n is connected by its own edges, so it has n - 1 of them.
    for group in groups:
        assert len({frozenset(edge) for edge in edges if edge[0] in group and edge[0] != edge[1]}) >= len(group) - 1


GROUPS = [[1, 2], [3]]


@pytest.mark.parametrize(
    ("given_row", "values", "expected"),
    [
        (row(1, "a@x", profile=1), [known("email", "a@x", 1)], None),
        (row(1, "a@x", profile=1), [known("email", "a@x", 2)], None),
        (row(1, "a@x", profile=1), [], None),
        (row(1, None, profile=1), [], None),
        (row(1, "a@x", profile=1), [known("email", "a@x", 3)], (3, "a@x", None)),
        (row(1, "A@x", profile=1), [known("email", "a@X", 3)], (3, "A@x", None)),
        (row(1, "a@x", "1", profile=1), [known("email", "a@x", 3), known("phone", "1", 2)], (1, None, "1")),
        (row(1, "a@x", "1", profile=1), [known("email", "a@x", 1), known("phone", "1", 3)], (1, "a@x", None)),
        (row(1, "a@x", "1", profile=1), [known("email", "a@x", 3), known("phone", "1", 3)], (3, "a@x", "1")),
        (row(1, "a@x", "1", profile=3), [known("email", "a@x", 1), known("phone", "1", 2)], (1, "a@x", "1")),
        (row(1, "a@x", "1", profile=3), [known("email", "a@x", 2), known("phone", "1", 2)], (2, "a@x", "1")),
        (row(1, "1", "1", profile=1), [known("phone", "1", 3)], (1, "1", None)),
    ],
)
def test_a_row_keeps_what_is_its_group_s(
    given_row: ContactRow, values: list[KnownValue], expected: tuple[int, str | None, str | None] | None
) -> None:
    changed = split_rows([given_row], values, GROUPS, compared)
    assert [(one.profile, one.email, one.phone) for one in changed] == ([] if expected is None else [expected])


def test_a_row_whose_values_went_to_two_groups_goes_to_the_first_value_s() -> None:
    values = [known("email", "a@x", 2), known("phone", "1", 3)]
    (changed,) = split_rows([row(1, "a@x", "1", profile=9)], values, [[9], [2], [3]], compared)
    assert (changed.id, changed.profile, changed.email, changed.phone) == (1, 2, "a@x", None)


def merge(name: str, minute: int, *edges: tuple[int, int]) -> ActiveMerge:
    """A merge in force."""
    return ActiveMerge(id=name, merged_at=at(minute), edges=edges)


ROWS = [row(10, "a", profile=1), row(11, "b", profile=2, minute=5), row(12, "c", profile=3, minute=7)]


def state(linked: int | None, minute: int) -> ContactState:
    """How a row is linked and when that changed."""
    return ContactState(linked_id=linked, updated_at=at(minute))


def test_without_merges_every_profile_s_oldest_row_is_a_primary() -> None:
    rows = [*ROWS, row(13, "d", profile=1, minute=9)]
    assert contact_states(rows, [], {}) == {
        10: state(None, 0),
        11: state(None, 5),
        12: state(None, 7),
        13: state(10, 9),
    }


def test_a_merge_links_the_younger_and_touches_both_primaries() -> None:
    assert contact_states(ROWS, [merge("m", 20, (1, 2))], {}) == {
        10: state(None, 20),
        11: state(10, 20),
        12: state(None, 7),
    }


def test_the_older_primary_stays_whoever_is_first_in_the_edge() -> None:
    assert contact_states(ROWS, [merge("m", 20, (2, 1))], {})[11] == state(10, 20)


def test_merges_count_in_order_of_time_then_of_id() -> None:
    merges = [merge("n", 30, (1, 2)), merge("m", 20, (2, 3))]
    assert contact_states(ROWS, merges, {}) == {10: state(None, 30), 11: state(10, 30), 12: state(10, 30)}
    again = [merge("b", 20, (1, 2)), merge("a", 20, (2, 3))]
    assert contact_states(ROWS, again, {}) == contact_states(ROWS, again[::-1], {})


def test_a_row_that_came_after_a_merge_is_not_touched_by_it() -> None:
    rows = [*ROWS, row(13, "d", profile=2, minute=25)]
    states = contact_states(rows, [merge("m", 20, (1, 2))], {})
    assert states[13] == state(10, 25)
    assert states[11] == state(10, 20)


def test_a_row_made_by_the_merge_s_own_request_came_after_it() -> None:
    rows = [*ROWS[:1], row(13, "d", profile=2, minute=20)]
    assert contact_states(rows, [merge("m", 20, (1, 2))], {13: "m"}) == {10: state(None, 0), 13: state(10, 20)}
    assert contact_states(rows, [merge("m", 20, (1, 2))], {13: "other"})[10] == state(None, 20)


def test_an_edge_within_one_person_changes_nothing() -> None:
    merges = [merge("m", 20, (1, 2)), merge("n", 30, (2, 1))]
    assert contact_states(ROWS, merges, {})[11] == state(10, 20)
    more = [merge("m", 20, (1, 2)), merge("n", 30, (2, 1), (2, 3))]
    assert contact_states(ROWS, more, {})[12] == state(10, 30)


def test_a_merge_with_a_profile_without_rows_connects_all_the_same() -> None:
    merges = [merge("m", 20, (1, 9)), merge("n", 30, (9, 2))]
    assert contact_states(ROWS, merges, {}) == {10: state(None, 30), 11: state(10, 30), 12: state(None, 7)}


def test_rows_of_a_primary_that_is_younger_move() -> None:
    rows = [row(20, "a", profile=1, minute=9), row(11, "b", profile=2, minute=5), row(12, "c", profile=2, minute=6)]
    states = contact_states(rows, [merge("m", 20, (1, 2))], {})
    # The older primary and what moves to it are touched, its own secondary is not.
    assert states == {11: state(None, 20), 12: state(11, 6), 20: state(11, 20)}


def test_a_secondary_that_stays_one_keeps_its_time() -> None:
    rows = [row(10, "a", profile=1, minute=50), row(11, "b", profile=2, minute=51), row(12, "c", profile=3, minute=1)]
    merges = [merge("m", 60, (1, 2)), merge("n", 55, (2, 3))]
    assert contact_states(rows, merges, {})[11] == state(12, 55)
