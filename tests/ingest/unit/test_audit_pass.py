"""Which minutes a continuous audit looks at next, and what it adds up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.audit_pass import AuditPass, Found, going_on, new_pass

NOW = 1_000_000


def test_a_pass_is_the_last_hours_without_the_minute_that_is_not_over() -> None:
    passed = new_pass(now_minute=NOW, hours=3)
    assert (passed.next_minute, passed.last_minute, passed.whole) == (NOW - 180, NOW - 1, False)


@given(lengths=st.lists(st.integers(1, 40), min_size=1), hours=st.integers(1, 5))
def test_steps_of_any_length_cover_each_minute_once(lengths: list[int], hours: int) -> None:
    passed = new_pass(now_minute=NOW, hours=hours)
    seen: list[int] = []
    taken = 0
    while not passed.whole:
        first, last = passed.step(lengths[taken % len(lengths)])
        seen.extend(range(first, last + 1))
        passed = passed.after(last, Found(counts=1, timelines=2, unsettled=3))
        taken += 1
    assert seen == list(range(NOW - hours * 60, NOW))
    assert passed.found == Found(counts=taken, timelines=2 * taken, unsettled=3 * taken)


def test_a_pass_goes_on_where_it_was() -> None:
    half = AuditPass(next_minute=NOW - 100, last_minute=NOW - 5, found=Found(counts=1))
    assert going_on(half, now_minute=NOW, hours=3) == half


def test_a_whole_pass_a_forgotten_one_and_one_of_the_future_give_way_to_a_new_one() -> None:
    fresh = new_pass(now_minute=NOW, hours=3)
    whole = AuditPass(next_minute=0, last_minute=-1)
    forgotten = AuditPass(next_minute=NOW - 241, last_minute=NOW - 1)
    of_the_future = AuditPass(next_minute=NOW - 1, last_minute=NOW)
    assert [going_on(each, now_minute=NOW, hours=3) for each in (whole, forgotten, of_the_future)] == [fresh] * 3
