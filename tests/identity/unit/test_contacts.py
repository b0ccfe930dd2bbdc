"""The rules of contact rows: when one is added, which is the primary, what a merge does, what an answer lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dmp_identity.domain.contacts import ContactBook, ContactRow, ContactValues, KnownValue, age

NOW = datetime(2026, 2, 10, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    """A time before now."""
    return NOW - timedelta(minutes=60 - minutes)


def row(
    number: int, email: str | None = None, phone: str | None = None, *, minute: int = 0, linked: int | None = None
) -> ContactRow:
    """A stored row, made at that minute."""
    return ContactRow(
        id=number,
        phone=phone,
        email=email,
        linked_id=linked,
        created_at=at(minute),
        updated_at=at(minute),
        profile=7,
    )


def known(kind: str, shown: str, minute: int, *, requested: bool = False) -> KnownValue:
    """A value of a person."""
    return KnownValue(type=kind, shown=shown, seen_at=at(minute), profile=7, requested=requested)


def book(rows: dict[int, list[ContactRow]], values: dict[int, list[KnownValue]] | None = None) -> ContactBook:
    """The contacts of some people; values are compared without regard to case."""
    return ContactBook(rows, values or {}, now=NOW, compared=lambda kind, text: f"{kind}={text.lower()}")


def links(contacts: ContactBook, person: int) -> list[tuple[int, int | None]]:
    """The person's rows with whom they are linked to."""
    return [(one.id, one.linked_id) for one in contacts.rows(person)]


def test_rows_are_as_old_as_they_were_made_then_as_their_ids_and_new_ones_are_young() -> None:
    rows = [row(-2), row(-1), row(9), row(2), row(1, minute=5)]
    assert [one.id for one in sorted(rows, key=age)] == [2, 9, -1, -2, 1]


def test_the_first_request_makes_the_primary() -> None:
    contacts = book({})
    contacts.record(7, 7, ContactValues(email="a@x.com", phone="1"), None)
    (made,) = contacts.rows(7)
    assert (made.id, made.email, made.phone, made.linked_id) == (-1, "a@x.com", "1", None)
    assert (made.created_at, made.updated_at, made.profile) == (NOW, NOW, 7)
    assert contacts.added == [made]
    assert contacts.made_by == {}
    assert contacts.has_changes


@pytest.mark.parametrize(
    ("email", "phone"),
    [("b@x.com", None), (None, "2"), ("b@x.com", "1"), ("a@x.com", "2"), ("b@x.com", "2")],
)
def test_a_value_that_no_row_has_makes_a_secondary(email: str | None, phone: str | None) -> None:
    contacts = book({7: [row(1, "a@x.com", "1")]})
    contacts.record(7, 8, ContactValues(email=email, phone=phone), 3)
    made = contacts.rows(7)[-1]
    assert (made.email, made.phone, made.linked_id, made.profile) == (email, phone, 1, 8)
    assert contacts.made_by == {-1: 3}


@pytest.mark.parametrize(
    ("email", "phone"), [("a@x.com", None), (None, "1"), ("a@x.com", "1"), ("A@X.com", "1"), ("b@x.com", "1")]
)
def test_values_that_rows_have_make_none_not_even_in_another_spelling(email: str | None, phone: str | None) -> None:
    contacts = book({7: [row(1, "a@x.com", "1"), row(2, "b@x.com", None, linked=1)]})
    contacts.record(7, 7, ContactValues(email=email, phone=phone), None)
    assert not contacts.has_changes
    assert len(contacts.rows(7)) == 2


def test_a_row_is_never_older_than_the_last_one() -> None:
    contacts = book({7: [row(1, "a@x.com", minute=90)]})
    contacts.record(7, 7, ContactValues(email="b@x.com", phone=None), None)
    assert contacts.rows(7)[-1].created_at == at(90)


def test_a_merge_keeps_the_older_primary() -> None:
    contacts = book(
        {
            1: [row(10, "new@x.com", minute=20), row(11, "newer@x.com", minute=30, linked=10)],
            2: [row(5, "old@x.com", minute=10)],
        }
    )
    contacts.combine(1, 2)
    assert links(contacts, 1) == [(5, None), (10, 5), (11, 5)]
    assert contacts.rows(2) == []
    assert set(contacts.changed) == {5, 10, 11}
    assert {one.updated_at for one in contacts.changed.values()} == {NOW}
    assert contacts.added == []


def test_rows_that_stay_linked_as_they_are_do_not_change() -> None:
    contacts = book({1: [row(1, "a@x.com"), row(3, "c@x.com", minute=9, linked=1)], 2: [row(2, "b@x.com", minute=5)]})
    contacts.combine(1, 2)
    assert links(contacts, 1) == [(1, None), (2, 1), (3, 1)]
    # The primary is touched: rows are linked to it now.
    assert set(contacts.changed) == {1, 2}


def test_rows_of_the_merged_only_move() -> None:
    contacts = book({2: [row(1, "a@x.com"), row(3, "c@x.com", linked=1)]})
    contacts.combine(1, 2)
    assert links(contacts, 1) == [(1, None), (3, 1)]
    assert not contacts.has_changes
    contacts.combine(5, 6)
    assert contacts.rows(5) == []


def test_what_is_known_of_both_is_listed_after_a_merge() -> None:
    contacts = book({1: [row(1, "a@x.com")]}, {1: [known("email", "b@x.com", 1)], 2: [known("email", "c@x.com", 2)]})
    contacts.combine(1, 2)
    assert contacts.answer(1).emails == ("a@x.com", "b@x.com", "c@x.com")


def test_a_primary_that_was_deleted_by_hand_gives_its_place_to_the_next() -> None:
    contacts = book({1: [row(2, "b@x.com", minute=1, linked=1), row(3, "c@x.com", minute=2, linked=1)]})
    contacts.settle(1)
    assert links(contacts, 1) == [(2, None), (3, 2)]
    contacts.settle(9)
    assert set(contacts.changed) == {2, 3}


def test_a_touched_row_never_goes_back_in_time() -> None:
    contacts = book({1: [row(1, minute=90)], 2: [row(2, minute=95)]})
    contacts.combine(1, 2)
    assert [one.updated_at for one in contacts.rows(1)] == [at(90), at(95)]


def test_a_new_row_that_is_linked_anew_is_added_not_changed() -> None:
    contacts = book({1: [row(1, "a@x.com", minute=5)]})
    contacts.record(2, 2, ContactValues(email="b@x.com", phone=None), None)
    contacts.combine(1, 2)
    assert links(contacts, 1) == [(1, None), (-1, 1)]
    assert set(contacts.changed) == {1}


def test_an_answer_lists_the_primary_first_then_by_age_each_value_once() -> None:
    contacts = book(
        {1: [row(1, "p@x.com", None, minute=30), row(2, "B@x.com", "2", minute=40, linked=1)]},
        {
            1: [
                known("email", "b@x.com", 10),
                known("email", "P@x.com", 5),
                known("phone", "9", 50),
                known("email", "asked@x.com", 1, requested=True),
            ]
        },
    )
    answer = contacts.answer(1)
    assert answer.primary_id == 1
    # Each in its first spelling.
    assert answer.emails == ("P@x.com", "b@x.com")
    assert answer.phones == ("2", "9")
    assert answer.secondary_ids == (2,)


def test_an_answer_without_a_primary_value_goes_by_age() -> None:
    contacts = book({1: [row(1, None, "1"), row(2, "c@x.com", None, minute=40)]}, {1: [known("email", "b@x.com", 50)]})
    assert contacts.answer(1).emails == ("c@x.com", "b@x.com")
    assert contacts.answer(1).phones == ("1",)


def test_the_primary_s_value_is_listed_first_though_another_is_older() -> None:
    contacts = book(
        {1: [row(1, "P@x.com", minute=30)]}, {1: [known("email", "old@x.com", 1), known("email", "young@x.com", 50)]}
    )
    assert contacts.answer(1).emails == ("P@x.com", "old@x.com", "young@x.com")


def test_rows_that_are_linked_as_they_should_be_are_left_alone() -> None:
    contacts = book({1: [row(1, "a@x.com"), row(2, "b@x.com", minute=5, linked=1)]})
    contacts.settle(1)
    assert not contacts.has_changes
