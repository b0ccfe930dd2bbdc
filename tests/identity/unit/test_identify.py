"""What a contact request does to the graph and to contact rows."""

from __future__ import annotations

from datetime import UTC, datetime

from dmp_identity.domain.contacts import ContactBook, ContactRow
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import policy_from_mapping
from dmp_identity.domain.identify import ContactRequest, record_request
from dmp_identity.domain.resolve_observations import ObservationResolver
from tests.identity.graphs import NOTHING_ELSE, TYPES, Also, Known, snapshot

NOW = datetime(2026, 2, 10, tzinfo=UTC)
SEEN = {"normalise": "lower_case", "show_as_seen": True}
POLICY = policy_from_mapping(
    {"types": {**TYPES, "email": {**TYPES["email"], **SEEN}, "phone": {**TYPES["phone"], "hub_degree": 1}}}
)
PARSER = IdentifierParser(POLICY)


class Desk:
    """Answers requests one after another on a graph."""

    def __init__(
        self, known: list[Known], also: Also = NOTHING_ELSE, rows: dict[int, list[ContactRow]] | None = None
    ) -> None:
        self.resolver = ObservationResolver(POLICY, snapshot(known, also), now_us=10_000)
        self.book = ContactBook(rows or {}, {}, now=NOW, compared=PARSER.compared)

    def ask(self, email: str | None = None, phone: str | None = None) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        """The primary, the e-mails and the phones of the answer."""
        request = ContactRequest(
            email=None if email is None else PARSER.parse("email", email),
            phone=None if phone is None else PARSER.parse("phone", phone),
        )
        shown = [one for one in (request.email, request.phone) if one is not None]
        observation = PARSER.observation(ref="r", source="identify", cause="contact", identifiers=shown)
        answer = record_request(self.resolver, self.book, observation, request)
        return answer.primary_id, answer.emails, answer.phones

    def added(self) -> list[tuple[str | None, str | None, int]]:
        """The new rows: e-mail, phone and profile."""
        return [(one.email, one.phone, one.profile) for one in self.book.added]


def row(number: int, email: str | None, phone: str | None, profile: int) -> ContactRow:
    """A stored row."""
    return ContactRow(
        id=number, phone=phone, email=email, linked_id=None, created_at=NOW, updated_at=NOW, profile=profile
    )


def test_a_stranger_becomes_a_profile_with_a_row() -> None:
    desk = Desk([])
    assert desk.ask("a@x", "1") == (-1, ("a@x",), ("1",))
    assert desk.added() == [("a@x", "1", -1)]
    assert desk.ask("a@x") == (-1, ("a@x",), ("1",))
    assert len(desk.added()) == 1


def test_a_value_is_shown_as_it_was_written_and_compared_by_its_key() -> None:
    desk = Desk([])
    assert desk.ask("Ann@X") == (-1, ("Ann@X",), ())
    assert desk.ask("ann@x") == (-1, ("Ann@X",), ())
    assert desk.added() == [("Ann@X", None, -1)]


def test_a_request_that_joins_two_people_links_their_rows_and_is_noted_at_the_merge() -> None:
    desk = Desk(
        [Known(1, "email:a@x"), Known(2, "phone:2")],
        rows={1: [row(1, "a@x", None, 1)], 2: [row(2, None, "2", 2)]},
    )
    assert desk.ask("a@x", "2") == (1, ("a@x",), ("2",))
    assert [(one.id, one.linked_id) for one in desk.book.rows(1)] == [(1, None), (2, 1)]
    # Both values have a row already.
    assert desk.added() == []
    assert desk.book.made_by == {}


def test_the_row_of_a_request_that_merged_goes_if_the_merge_is_undone() -> None:
    desk = Desk([Known(1, "email:a@x"), Known(2, "phone:2")])
    desk.ask("b@x")
    desk.ask("a@x", "2")
    assert desk.added() == [("b@x", None, -1), ("a@x", "2", 1)]
    assert desk.book.made_by == {-2: 0}
    desk.ask("a@x", "3")
    assert desk.book.made_by == {-2: 0}


def test_somebody_else_s_value_takes_no_part() -> None:
    desk = Desk([Known(1, "email:a@x"), Known(2, "phone:2")], Also(apart=[(1, 2)]))
    # The first type of the policy says who asks.
    assert desk.ask("a@x", "2") == (-1, ("a@x",), ())
    assert desk.added() == [("a@x", None, 1)]


def test_a_shared_value_takes_no_part() -> None:
    desk = Desk([Known(1, "email:a@x"), Known(2, "phone:2")], Also(shared="phone:2"))
    assert desk.ask("a@x", "2") == (-1, ("a@x",), ())


def test_a_value_that_is_set_aside_takes_no_part() -> None:
    desk = Desk([Known(1, "email:a@x")])
    assert desk.ask("a@x", "-") == (-1, ("a@x",), ())


def test_a_request_of_nothing_else_gets_a_row_of_what_it_has() -> None:
    desk = Desk([Known(2, "phone:2")], Also(shared="phone:2"))
    assert desk.ask(phone="2") == (-1, (), ("2",))
    assert desk.added() == [(None, "2", -1)]


def test_a_primary_deleted_by_hand_gives_its_place_to_the_next() -> None:
    orphan = row(5, "a@x", None, 1)
    orphan.linked_id = 4
    desk = Desk([Known(1, "email:a@x")], rows={1: [orphan]})
    assert desk.ask("a@x") == (5, ("a@x",), ())
    assert desk.book.rows(1)[0].linked_id is None
    assert set(desk.book.changed) == {5}


def test_a_request_of_which_nothing_is_followed_gets_a_row_of_its_first_value() -> None:
    desk = Desk([Known(1, "email:a@x"), Known(2, "phone:2")], Also(shared="email:a@x phone:2"))
    assert desk.ask("a@x", "2") == (-1, ("a@x",), ())
