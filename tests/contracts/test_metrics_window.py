"""CONTRACT 4: the window of `w` seconds at second `q` is `q-w+1` to `q`, by the events' own time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from tests.contracts.answers import metrics, stored
from tests.contracts.payloads import activity_event, campaign_event, fresh, from_now, iso, unix_second

DEADLINE_SECONDS = 20.0


class Person:
    """Somebody whose events alone make up `by_plan`."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api
        self.name = fresh("u")
        self.plan = fresh("plan")
        body = {"user_metadata": {self.name: {"plan": self.plan}}, "ts": from_now(0)}
        assert api.put("/reference/users", json=body).status_code == 200

    def acts_at(self, *seconds: float) -> None:
        """Stores an activity event at each of these Unix times."""
        times = [iso(datetime.fromtimestamp(second, UTC)) for second in seconds]
        stored(self.api, [activity_event(user_id=self.name, ts=moment) for moment in times])

    def acted_at(self, *seconds: float) -> None:
        """Stores a campaign event at each of these Unix times: they may be long ago."""
        times = [iso(datetime.fromtimestamp(second, UTC)) for second in seconds]
        stored(self.api, [campaign_event(user_id=self.name, occurred_at=moment) for moment in times])

    def seen_in(self, window: int) -> int:
        """How many of this person's events the window shows."""
        count: int = metrics(self.api, window=window)["by_plan"][self.plan]
        return count

    def seen_since(self, second: int) -> int:
        """How many events the window that begins at this second shows: its length depends on what second it is now."""
        for now in within_one_second():
            count = self.seen_in(now - second + 1)
            if unix_second() == now:
                return count
        raise AssertionError("never got an answer within one second")


def within_one_second() -> Iterator[int]:
    """The second that it is, again and again: the body retries until a second did not end in the middle of it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        yield unix_second()


@pytest.fixture
def person(api: httpx.Client) -> Person:
    return Person(api)


@pytest.mark.parametrize("age", [1, 2, 10, 60, 110])
def test_an_event_is_in_the_window_that_begins_at_its_second_and_not_in_the_next(person: Person, age: int) -> None:
    second = unix_second() - age
    person.acts_at(second)
    assert person.seen_since(second) == 1
    assert person.seen_since(second + 1) == 0


@pytest.mark.parametrize("fraction", [0.0, 0.000001, 0.5, 0.999999])
def test_a_bucket_is_a_whole_second(person: Person, fraction: float) -> None:
    second = unix_second() - 30
    person.acts_at(second + fraction)
    assert person.seen_since(second) == 1
    assert person.seen_since(second + 1) == 0


def test_each_second_has_its_own_bucket(person: Person) -> None:
    newest = unix_second() - 5
    person.acts_at(*(newest - back for back in range(100)))
    for back in (0, 1, 50, 98, 99):
        assert person.seen_since(newest - back) == back + 1


def test_a_window_of_one_second_shows_the_current_second_only(person: Person) -> None:
    for now in within_one_second():
        person.acts_at(now, now - 1)
        mine = person.seen_in(1)
        if unix_second() == now:
            assert mine == 1
            return
        person = Person(person.api)
    raise AssertionError("never got an answer within one second")


@pytest.mark.parametrize("age", [1780, 1790])
def test_the_longest_window_shows_what_is_almost_half_an_hour_old(person: Person, age: int) -> None:
    second = unix_second() - age
    person.acted_at(second)
    assert person.seen_in(1800) == 1
    assert person.seen_since(second) == 1
    assert person.seen_since(second + 1) == 0


@pytest.mark.parametrize("age", [1801, 1900, 3600, 86_400, 1800 * 2 - 10, 1800 * 3 + 5])
def test_what_is_over_half_an_hour_old_is_in_no_window(person: Person, age: int) -> None:
    person.acted_at(unix_second() - age)
    assert person.seen_in(1800) == 0


def test_an_event_leaves_the_window_with_its_second(person: Person) -> None:
    second = unix_second()
    person.acts_at(second)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        before = unix_second()
        count = person.seen_in(3)
        after = unix_second()
        if after <= second + 2:
            assert count == 1
        elif before >= second + 3:
            assert count == 0
            return
    raise AssertionError("time does not pass")


def test_an_event_of_the_future_enters_the_window_with_its_second(person: Person) -> None:
    second = unix_second() + 3
    person.acts_at(second)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        before = unix_second()
        count = person.seen_in(1800)
        after = unix_second()
        if after < second:
            assert count == 0
        elif before >= second:
            assert count == 1
            return
    raise AssertionError("time does not pass")


def test_late_and_out_of_order_events_fall_into_their_own_buckets(person: Person) -> None:
    now = unix_second()
    for age in (50, 10, 100, 30, 70):
        person.acts_at(now - age)
    for shown, age in enumerate((10, 30, 50, 70, 100), start=1):
        assert person.seen_since(now - age) == shown
        assert person.seen_since(now - age + 1) == shown - 1


def test_an_event_of_tomorrow_is_in_no_window_today(person: Person) -> None:
    person.acted_at(unix_second() + 3600, unix_second() + 80_000)
    assert person.seen_in(1800) == 0


def test_the_default_window_is_five_minutes(person: Person) -> None:
    now = unix_second()
    person.acted_at(now - 290, now - 310)
    assert metrics(person.api)["by_plan"] == {person.plan: 1}
