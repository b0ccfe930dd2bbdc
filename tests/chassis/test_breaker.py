"""A dependency that failed is left alone for a growing while, and asked by one caller at a time."""

from __future__ import annotations

import pytest

from dmp_chassis.breaker import Breaker


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> Breaker:
    return Breaker(pause_seconds=0.5, longest_seconds=3.0, clock=clock)


def test_what_works_is_never_left_alone() -> None:
    one = breaker(Clock())
    with one.call():
        assert not one.is_open
    assert one.succeeded() == 0
    assert not one.is_open


def test_the_pauses_double_up_to_the_longest_and_start_anew_after_a_success() -> None:
    clock = Clock()
    one = breaker(clock)
    for expected in (0.5, 1.0, 2.0, 3.0, 3.0):
        one.failed()
        clock.now += expected - 0.01
        assert one.is_open
        clock.now += 0.02
        assert not one.is_open
    assert one.failures == 5
    assert one.succeeded() == 5
    one.failed()
    clock.now += 0.51
    assert not one.is_open


def test_a_thousand_failures_pause_no_longer_than_the_longest() -> None:
    clock = Clock()
    one = breaker(clock)
    for _ in range(2_000):
        one.failed()
    clock.now += 3.01
    assert not one.is_open


def test_while_one_finds_out_the_others_leave_it_alone() -> None:
    clock = Clock()
    one = breaker(clock)
    one.failed()
    clock.now += 1
    with one.call():
        assert one.is_open
        with one.call():
            assert one.is_open
        assert one.is_open
    assert not one.is_open


def test_a_call_that_was_under_way_before_the_failure_is_no_probe() -> None:
    clock = Clock()
    one = breaker(clock)
    with one.call():
        one.failed()
        clock.now += 1
        assert not one.is_open


def test_a_probe_that_ends_with_an_error_is_over() -> None:
    clock = Clock()
    one = breaker(clock)
    one.failed()
    clock.now += 1
    with pytest.raises(ConnectionError), one.call():
        raise ConnectionError
    assert not one.is_open


def test_without_a_longest_pause_all_pauses_are_alike() -> None:
    clock = Clock()
    one = Breaker(pause_seconds=1.0, clock=clock)
    for _ in range(4):
        one.failed()
        clock.now += 1.01
        assert not one.is_open
