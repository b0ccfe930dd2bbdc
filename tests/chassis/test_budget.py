"""What requests hold together has a bound."""

from __future__ import annotations

import pytest

from dmp_chassis.budget import Budget


class NoRoom(Exception):
    """The refusal of these tests."""


def test_shares_fit_up_to_the_bound_and_leave_their_room_to_others() -> None:
    budget = Budget(10, refusal=NoRoom)
    with budget.share(4), budget.share() as second:
        second.hold(6)
        with pytest.raises(NoRoom), budget.share(1):
            pytest.fail("there is no room")
        with budget.share(0):
            second.hold(5)
        with budget.share(1):
            pass
    with budget.share(10):
        pass


def test_a_share_that_was_refused_more_holds_what_it_had() -> None:
    budget = Budget(10, refusal=NoRoom)
    with budget.share(1), budget.share(7) as share:
        with pytest.raises(NoRoom):
            share.hold(10)
        assert share.held == 7
        with budget.share(2), pytest.raises(NoRoom), budget.share(1):
            pytest.fail("there is no room")
    with budget.share(10):
        pass


def test_who_is_alone_may_hold_more_and_everybody_else_is_refused_meanwhile() -> None:
    budget = Budget(10, refusal=NoRoom)
    with budget.share(8) as share, budget.share() as other:
        share.hold(25)
        with pytest.raises(NoRoom):
            other.hold(1)
        with pytest.raises(NoRoom), budget.share(1):
            pytest.fail("there is no room")
        share.hold(9)
        other.hold(1)
        with pytest.raises(NoRoom):
            share.hold(25)


def test_what_fails_inside_gives_its_room_back() -> None:
    budget = Budget(1, refusal=NoRoom)
    with pytest.raises(KeyError), budget.share(1):
        raise KeyError
    with budget.share(1), pytest.raises(NoRoom), budget.share(1):
        pytest.fail("there is no room")


def test_what_is_moved_is_held_after_the_block_until_it_is_given_back() -> None:
    budget = Budget(10, refusal=NoRoom)
    with budget.share(7) as share:
        moved = share.moved()
        assert (share.held, moved.held) == (0, 7)
    with pytest.raises(NoRoom), budget.share(4):
        pytest.fail("there is no room")
    moved.hold(0)
    with budget.share(10):
        pass
